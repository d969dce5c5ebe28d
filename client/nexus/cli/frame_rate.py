"""The frame rate that the devices at hand can keep: found by planning, not by trying. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from nexus.core.device import DeviceSpec
from nexus.core.errors import InfeasibleError
from nexus.core.names import ModelName
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.scheduler.planner import Planned, QueryLoad, Workload, make_plan
from nexus.scheduler.settings import PlannerSettings

RATE_MAX = 25.0
"""Frames/s of the camera's own video; a higher rate would show nothing new."""
RATE_MIN = 0.2
RATE_STEP = 0.95
SAFETY_SHARE = 0.6
"""The part of the highest feasible rate that is used: the machine does other things too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesAtHand:
    """So many devices of one type, and the profiles measured on it."""

    type: str
    count: int
    profiles: Mapping[ModelName, Profile]


def choose_frame_rate(query: Query, devices: DevicesAtHand, settings: PlannerSettings) -> float:
    """A safe share of the highest rate whose plan serves every stage.

    Rates are tried from the top: whether a plan exists need not be monotone in the rate.

    Raises:
        InfeasibleError: not even RATE_MIN can be served; the message says which stage and why.
    """
    rate = RATE_MAX
    while rate > RATE_MIN:
        if _serves_all(_plan(query, rate, devices, settings)):
            return rate * SAFETY_SHARE
        rate *= RATE_STEP
    raise InfeasibleError(
        f"query {query.name!r} cannot be served at {RATE_MIN:g} frames/s on {devices.count} x "
        f"{devices.type}: {_why(_plan(query, RATE_MIN, devices, settings))}"
    )


def _plan(query: Query, rate: float, devices: DevicesAtHand, settings: PlannerSettings) -> Planned:
    workload = Workload(
        devices=(DeviceSpec(type=devices.type, count=devices.count),),
        profile=lambda model, _: devices.profiles.get(model),
        queries=(QueryLoad(query=query, rate=rate),),
    )
    return make_plan(workload, settings)


def _serves_all(planned: Planned) -> bool:
    return not planned.infeasible and not planned.unplaced and not any(planned.unmet.values())


def _why(planned: Planned) -> str:
    if planned.infeasible:
        return "; ".join(f"{one.session}: {one.reason}" for one in planned.infeasible)
    short = ", ".join(name for name, rate in planned.unmet.items() if rate)
    return f"more devices are needed for {short}"
