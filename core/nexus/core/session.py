"""A Session: a model and an SLO, the unit of batching and routing; and its load."""

from collections.abc import Sequence
from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import ModelName, SessionName, session_name

SLO_US_MAX = 3_600 * 1_000_000
REPLICAS_MAX = 4096
VARIANTS_MAX = 8


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
    arrivals are measured, and is the floor the plan keeps provisioned. ``replicas_min`` devices at
    least serve it, so that the loss of one does not silence it; ``replicas_max`` at most, 0 being
    no limit: rate beyond what those can do is refused.

    ``arrives_evenly`` foretells items at equal gaps, as from one camera, rather than at random:
    then nothing is kept free for chance (ADR 0030).

    ``variants`` are cheaper models with the same inputs and outputs, best first: before anything is
    refused for lack of devices, one of them serves the session (ADR 0025).
    """

    model: ModelName
    slo_us: int
    expected_rate: float = 0.0
    arrives_evenly: bool = False
    name: SessionName = ""
    replicas_min: int = 1
    replicas_max: int = 0
    variants: tuple[ModelName, ...] = ()

    def __post_init__(self) -> None:
        """Fill in the name; raise InvalidArgumentError on a field out of range."""
        if not self.name:
            object.__setattr__(self, "name", session_name(self.model, self.slo_us))
        require_slo(f"session {self.name!r}", self.slo_us)
        require_rate(f"session {self.name!r}", self.expected_rate)
        require_replicas(f"session {self.name!r}", self.replicas_min, self.replicas_max)
        require_variants(f"session {self.name!r}", self.model, self.variants)


def require_rate(owner: str, rate: float) -> None:
    """Raise InvalidArgumentError unless the rate is finite and not negative."""
    if not 0 <= rate < float("inf"):
        raise InvalidArgumentError(
            f"{owner}: rate {rate} requests/s is not a finite number >= 0", reason="invalid_rate"
        )


def require_replicas(owner: str, least: int, most: int) -> None:
    """Raise InvalidArgumentError unless 1 <= least <= most <= REPLICAS_MAX; most 0 is no limit."""
    if not 1 <= least <= REPLICAS_MAX or not (most == 0 or least <= most <= REPLICAS_MAX):
        raise InvalidArgumentError(
            f"{owner}: replicas_min {least} and replicas_max {most} must satisfy "
            f"1 <= min <= max <= {REPLICAS_MAX} (max 0: no limit)",
            reason="invalid_replicas",
        )


def require_variants(owner: str, model: ModelName, variants: Sequence[ModelName]) -> None:
    """Raise InvalidArgumentError on too many variants, or on one that is named twice."""
    if len(variants) > VARIANTS_MAX:
        raise InvalidArgumentError(
            f"{owner}: {len(variants)} variants are more than {VARIANTS_MAX}",
            reason="invalid_variants",
        )
    if len({model, *variants}) <= len(variants):
        raise InvalidArgumentError(
            f"{owner}: variants {', '.join(variants)} must differ from one another and from its "
            f"model {model}",
            reason="invalid_variants",
        )


@dataclass(frozen=True, slots=True)
class SessionLoad:
    """What the planner must cover: a session and its rate in items per second."""

    session: Session
    rate: float
