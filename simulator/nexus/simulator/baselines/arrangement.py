"""A baseline set up for one scenario: everything decided that is decided before time begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.policy import Policy
from nexus.simulator.baselines.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Whom a policy serves with what, and how to make it (anew for each run: it has a state).

    ``time_shared``: batches of several sessions may run on one device at once, each slower for it.
    ``slack``: what a stage of a query leaves of its budget is added to those after it.
    """

    situation: Situation
    policy: Callable[[], Policy]
    time_shared: bool = False
    slack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrangeSettings:
    """How a baseline is to be set up.

    ``all_devices``: a planner that would leave devices of a fixed cluster unused plans for more
    than the rates given, as much as the devices can do: this is what a search for the highest rate
    must allow it. Otherwise it uses the devices its plan needs.
    """

    all_devices: bool = True


Arrange: TypeAlias = Callable[[Scenario, ArrangeSettings], Arrangement]
