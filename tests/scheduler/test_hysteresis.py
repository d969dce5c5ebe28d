"""A fresh plan displaces the one in force only when it saves more than moving to it costs."""

from collections.abc import Callable, Sequence

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.session import Session
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.demand import Demand
from nexus.scheduler.hysteresis import Verdict, cheaper, worth_making
from nexus.scheduler.node import Node, alone_node
from tests.scheduler.planning_cases import make_demand

EPOCH_US = 30_000_000
GPU = DeviceSpec(type="gpu")


def demand(name: str, share: float) -> Demand:
    """A session that needs a share of a device's 820 items/s within 100 ms."""
    session = Session(model=name, slo_us=100_000, name=name)
    profile = linear_profile(name, "gpu", 1_000, 9_000, 64)
    return make_demand(session, share * 820, profile, batch_cap=64, network_us=0)


def allocation(nodes: Sequence[Node], missing: int = 0) -> Allocation:
    return Allocation(pools=(), own=tuple(nodes), missing={"gpu": missing} if missing else {})


def alone(*shares: float, device: DeviceSpec = GPU) -> Allocation:
    return allocation([alone_node(demand(f"s{i}", s), device) for i, s in enumerate(shares)])


def moving(cost_us: float, fresh: Allocation) -> Callable[[Allocation], float]:
    return lambda taken: cost_us if taken is fresh else 0.0


def unmade() -> Allocation:
    raise AssertionError("a fresh plan was made that could not pay")


@pytest.mark.parametrize(
    ("movement_us", "pays"), [(29_000_000.0, True), (30_000_000.0, False), (31_000_000.0, False)]
)
def test_hysteresis_weighs_devices_saved_against_loading(movement_us: float, pays: bool) -> None:
    verdict = Verdict(kept=5, fresh=4, horizon_us=EPOCH_US, movement_us=movement_us)
    assert verdict.pays is pays
    assert verdict.sentence() == (
        f"going on costs 5, planning afresh 4: 1 x 30 s saved, {movement_us / 1e6:.1f} s of "
        f"loading: {'taken' if pays else 'kept'}"
    )


def test_hysteresis_counts_prices_not_devices() -> None:
    dear = DeviceSpec(type="gpu", price=3.0)
    kept, fresh = alone(0.9, 0.9, device=dear), alone(0.9)
    taken = cheaper(kept, lambda: fresh, moving(140_000_000, fresh), EPOCH_US, search=True)
    assert taken.own == fresh.own, "5 x 30 s are more than 140 s"
    assert "going on costs 6, planning afresh 1" in taken.why


def test_hysteresis_keeps_what_is_there_when_nothing_is_saved() -> None:
    kept, fresh = alone(0.6, 0.6), alone(0.6, 0.6)
    taken = cheaper(kept, lambda: fresh, moving(0.0, fresh), EPOCH_US, search=True)
    assert taken.own == kept.own


def test_hysteresis_makes_no_plan_that_could_not_pay() -> None:
    full = alone(*[0.95] * 100)
    taken = cheaper(full, unmade, lambda _: 0.0, EPOCH_US, search=True)
    assert taken.own == full.own
    assert taken.why == "going on costs 100; planning afresh could not pay"


def test_hysteresis_takes_the_plan_that_suffices() -> None:
    short, enough = allocation(alone(0.9).own, missing=1), alone(0.9, 0.9)
    assert cheaper(short, lambda: enough, moving(1e12, enough), EPOCH_US, search=True).complete
    taken = cheaper(enough, lambda: short, moving(0.0, short), EPOCH_US, search=True)
    assert taken.own == enough.own


def test_hysteresis_gives_up_a_device_that_others_have_room_for() -> None:
    kept = alone(0.5, 0.3, 0.9)
    taken = cheaper(kept, lambda: kept, lambda _: 0.0, EPOCH_US, search=True)
    assert [sorted(d.name for d in node.demands) for node in taken.own] == [["s0", "s1"], ["s2"]]


def test_hysteresis_gives_up_no_device_when_loading_takes_longer_than_the_plan_lasts() -> None:
    kept = alone(0.5, 0.3, 0.9)
    taken = cheaper(kept, lambda: kept, lambda _: 0.0, 900_000, search=True)
    assert len(taken.own) == 3


def test_hysteresis_leaves_all_alone_where_nothing_has_changed() -> None:
    bare = alone(0.5, 0.3).own
    unchanged = allocation(
        [
            Node(
                device=node.device,
                demands=node.demands,
                batches=node.batches,
                duty_cycle_us=node.duty_cycle_us,
                occupancy_min=node.occupancy_min,
                packed=node,
            )
            for node in bare
        ]
    )
    taken = cheaper(unchanged, lambda: unchanged, lambda _: 0.0, EPOCH_US, search=True)
    assert taken.own == unchanged.own


def test_hysteresis_judges_many_devices_by_a_sample() -> None:
    half_empty = alone(*[0.4] * 200)
    assert worth_making(half_empty, EPOCH_US, search=True)
    assert not worth_making(half_empty, 100_000, search=True), "moving costs more than it saves"
    assert not worth_making(alone(*[0.9] * 200), EPOCH_US, search=True)
