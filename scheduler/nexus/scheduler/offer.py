"""An Offer: what one device type does for every session of one model, worked out once.

Thousands of sessions share a few models. What depends on the model alone is looked up once for
each of them, not once for each session.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nexus.core.device import DeviceSpec
from nexus.core.names import ModelName
from nexus.core.profile import Profile
from nexus.core.session import Session
from nexus.scheduler.batch_table import BatchTable, batch_table
from nexus.scheduler.demand import Demand, infeasible_reason, saturating_batch
from nexus.scheduler.workload import Workload


@dataclass(frozen=True, slots=True)
class Offer:
    """A model on a device type.

    ``overhead_us`` is what the network, pre- and post-processing take of every SLO; ``holds`` says
    whether the device has the memory.
    """

    device: DeviceSpec
    profile: Profile
    table: BatchTable
    overhead_us: int
    holds: bool

    def demand(self, session: Session, rate: float) -> Demand:
        """What a session of the model asks of the device type."""
        assert rate > 0, (session.name, rate)
        budget_us = session.slo_us - self.overhead_us
        table = self.table
        batch = saturating_batch(table, budget_us)
        return Demand(session, rate, self.profile, budget_us, table, batch)

    def reason(self, demand: Demand) -> str:
        """Why no number of such devices can serve the demand, or "" when they can."""
        return "" if self.holds and demand.batch else infeasible_reason(demand, self.device)


def offer_of(device: DeviceSpec, profile: Profile, batch_cap: int, network_us: int) -> Offer:
    """What a device type does for a model; ``batch_cap`` is the model's cap on batches."""
    return Offer(
        device=device,
        profile=profile,
        table=batch_table(profile, min(profile.max_batch, batch_cap)),
        overhead_us=network_us + profile.preprocess_us + profile.postprocess_us,
        holds=not device.memory_bytes or profile.memory_bytes <= device.memory_bytes,
    )


@dataclass(frozen=True, slots=True)
class Offers:
    """The offers of all device types for all models; they are looked up when first asked for."""

    workload: Workload
    network_us: int
    _known: dict[ModelName, tuple[tuple[Offer, ...], ...]] = field(default_factory=dict, repr=False)

    def of(self, model: ModelName) -> tuple[tuple[Offer, ...], ...]:
        """For each device type of the workload its offers, as in ``on``; none: left out."""
        known = self._known.get(model)
        if known is None:
            every = (self.on(device, model) for device in self.workload.devices)
            known = self._known[model] = tuple(tuple(offers) for offers in every if offers)
        return known

    def on(self, device: DeviceSpec, model: ModelName) -> Sequence[Offer]:
        """The offers of a device type: as measured, and as declared."""
        workload = self.workload
        offers = []
        for source in (workload.profile, workload.offline):
            profile = source(model, device.type) if source is not None else None
            if profile is not None:
                cap = workload.batch_caps.get(model, profile.max_batch)
                offers.append(offer_of(device, profile, cap, self.network_us))
        return offers
