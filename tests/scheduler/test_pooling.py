"""Which sessions share a pool, what it is called, and when it is better than no pool."""

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.scheduler.demand import Demand
from nexus.scheduler.pool_size import PoolRules, fit_on
from nexus.scheduler.pooling import PlannedPool, adopted, form_pools, is_worth_it, named
from nexus.scheduler.settings import PoolSettings
from tests.scheduler.planning_cases import demand_of

DEVICE = DeviceSpec(type="gpu", memory_bytes=1_000)
RULES = PoolRules(PoolSettings(devices_max=8))


def session(name: str, rate: float, slo_ms: int = 100, memory_bytes: int = 10) -> Demand:
    profile = linear_profile(name, "gpu", 1_000, 10_000, 64, memory_bytes=memory_bytes)
    return demand_of(profile, slo_ms * 1000, rate, name=name)


def names(pool: tuple[Demand, ...]) -> set[str]:
    return {demand.name for demand in pool}


def test_pooling_puts_small_sessions_together_and_a_large_one_apart() -> None:
    small = [session(f"s{index}", 150) for index in range(6)]
    pools = form_pools([session("large", 6000), *small], DEVICE, RULES)
    members = [names(pool.demands) for pool in pools]
    assert any("large" in group for group in members)
    assert sum(len(group) for group in members) == 7
    assert len(members) <= 2


def test_pooling_groups_sessions_of_similar_slos() -> None:
    tight = [session(f"tight{index}", 600, 40) for index in range(4)]
    loose = [session(f"loose{index}", 900, 400) for index in range(4)]
    pools = form_pools([*tight, *loose], DEVICE, PoolRules(PoolSettings(devices_max=4)))
    for pool in pools:
        kinds = {demand.name[:5] for demand in pool.demands}
        assert len(kinds) == 1


def test_pooling_keeps_to_the_memory_of_a_device() -> None:
    demands = [session(f"s{index}", 100, memory_bytes=300) for index in range(9)]
    for pool in form_pools(demands, DEVICE, RULES):
        assert sum(d.profile.memory_bytes for d in pool.demands) <= DEVICE.memory_bytes


def test_pooling_of_single_sessions_shares_nothing() -> None:
    rules = PoolRules(PoolSettings(shared=False))
    pools = form_pools([session(f"s{index}", 900) for index in range(3)], DEVICE, rules)
    assert [len(pool.demands) for pool in pools] == [1, 1, 1]


def test_pooling_adopts_what_fits_into_spare_time_only() -> None:
    large = fit_on((session("large", 2000),), 5, RULES)
    assert large is not None
    assert large.needed < large.size
    grown, left = adopted([large], [session("little", 20), session("much", 900)], DEVICE, RULES)
    assert names(grown[0].demands) == {"large", "little"}
    assert grown[0].size == large.size
    assert [demand.name for demand in left] == ["much"]


def test_pooling_is_worth_it_only_against_as_many_devices_of_their_own() -> None:
    trickle = fit_on((session("trickle", 5),), 2, RULES)
    flood = fit_on((session("flood", 8000),), 9, RULES)
    assert trickle is not None
    assert flood is not None
    assert not is_worth_it(trickle, DEVICE, 0.85, RULES, search=True), "one device would do"
    assert is_worth_it(flood, DEVICE, 0.85, RULES, search=True)


def test_pooling_names_outlive_changes_of_their_sessions() -> None:
    def pool(*sessions: str) -> PlannedPool:
        fit = fit_on(tuple(session(name, 100) for name in sessions), 2, RULES)
        assert fit is not None
        before = [("a", frozenset({"a", "b", "c"})), ("x", frozenset({"x"}))]
        (one,) = named([(DEVICE, fit)], before)
        return one

    assert pool("a", "b").name == "a"
    assert pool("b", "c", "d").name == "a", "the oldest has left, the name stays"
    assert pool("x", "y").name == "x"
    assert pool("m", "n").name == "m"


def test_pooling_gives_two_pools_different_names() -> None:
    fits = [fit_on((session(name, 100),), 2, RULES) for name in ("b", "c")]
    pools = named([(DEVICE, fit) for fit in fits if fit], [("a", frozenset({"b", "c"}))])
    assert sorted(pool.name for pool in pools) in (["a", "b"], ["a", "c"])


def test_pooling_members_share_the_rate_and_show_how_busy_they_are() -> None:
    fit = fit_on((session("a", 900), session("b", 300)), 4, RULES)
    assert fit is not None
    (pool,) = named([(DEVICE, fit)], [])
    nodes = pool.nodes()
    assert len(nodes) == 4
    assert [demand.rate for demand in nodes[0].demands] == [225, 75]
    assert abs(nodes[0].occupancy - fit.busy / 4) < 1e-3
    assert {node.pool for node in nodes} == {"a"}
