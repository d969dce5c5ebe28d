"""A Session: a model and an SLO, the unit of batching and routing; and its load."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import ModelName, SessionName, session_name

SLO_US_MAX = 3_600 * 1_000_000


def require_slo(owner: str, slo_us: int) -> None:
    """Raise InvalidArgumentError unless 0 < slo_us <= one hour."""
    if not 0 < slo_us <= SLO_US_MAX:
        raise InvalidArgumentError(
            f"{owner}: SLO {slo_us / 1000:g} ms is not in (0, {SLO_US_MAX // 1000}] ms",
            reason="invalid_slo",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Requests of all callers for one model within one SLO: one stream, batched together.

    ``expected_rate`` (items/s) is what the declarer foresees: it seeds the first plan until real
    arrivals are measured, and is the floor the plan keeps provisioned.
    """

    model: ModelName
    slo_us: int
    expected_rate: float = 0.0
    name: SessionName = ""

    def __post_init__(self) -> None:
        """Fill in the name; raise InvalidArgumentError on a bad SLO or rate."""
        if not self.name:
            object.__setattr__(self, "name", session_name(self.model, self.slo_us))
        require_slo(f"session {self.name!r}", self.slo_us)
        require_rate(f"session {self.name!r}", self.expected_rate)


def require_rate(owner: str, rate: float) -> None:
    """Raise InvalidArgumentError unless the rate is finite and not negative."""
    if not 0 <= rate < float("inf"):
        raise InvalidArgumentError(
            f"{owner}: rate {rate} requests/s is not a finite number >= 0", reason="invalid_rate"
        )


@dataclass(frozen=True, slots=True)
class SessionLoad:
    """What the planner must cover: a session and its rate in items per second."""

    session: Session
    rate: float
