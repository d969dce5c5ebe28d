"""A Candidate: a session, or several that share batches, on every device type that it can use."""

from dataclasses import dataclass

from nexus.core.names import DeviceType, SessionName
from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import Choice


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session's demands by device type, the cheapest first, at the rate expected.

    ``own`` is the choice it has of devices of its own, at the rate with headroom; None: none.
    """

    demands: tuple[Demand, ...]
    own: Choice | None

    @property
    def name(self) -> SessionName:
        """The session's name."""
        return self.demands[0].name

    def on(self, device: DeviceType) -> Demand | None:
        """The demand on that device type."""
        return next((d for d in self.demands if d.profile.device == device), None)

    def scaled(self, factor: float) -> "Candidate":
        """The same candidate at a share of its rate."""
        return Candidate(
            tuple(demand.at_rate(demand.rate * factor) for demand in self.demands),
            self.own.scaled(factor) if self.own is not None else None,
        )
