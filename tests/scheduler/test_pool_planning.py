"""Pools in whole plans: when they are planned, how they last, and what is said of the rest."""

from dataclasses import replace

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.names import DeviceType, ModelName
from nexus.core.plan import BackendPlan
from nexus.core.profile import Profile, linear_profile
from nexus.core.session import Session, SessionLoad
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.planner import Planned, Workload, make_plan
from nexus.scheduler.scenario_file import parse_scenario
from nexus.scheduler.settings import DEFAULT, policy

MODELS = {name: linear_profile(name, "gpu", 750, 7_960, 64) for name in "abcdefghijkl"}


def profile_of(model: ModelName, device: DeviceType) -> Profile | None:
    return MODELS.get(model) if device == "gpu" else None


def workload(rates: dict[str, float], *, slo_ms: int = 50, count: int | None = None) -> Workload:
    return Workload(
        devices=(DeviceSpec(type="gpu", count=count),),
        profile=profile_of,
        sessions=tuple(
            SessionLoad(Session(model=name, slo_us=slo_ms * 1000), rate)
            for name, rate in rates.items()
        ),
    )


def in_force(planned: Planned) -> list[BackendPlan]:
    return [as_backend_plan(node, f"b{index}") for index, node in enumerate(planned.nodes)]


def going_on(kept: Allocation, _: object) -> Allocation:
    return kept


def test_pool_planning_takes_the_whole_cluster_when_the_rate_asks_for_it() -> None:
    planned = make_plan(workload({"a": 20_000}, count=8), DEFAULT)
    (pool,) = planned.pools
    assert pool.fit.size == 8
    assert planned.devices_needed["gpu"] > 8
    covered = 20_000 - planned.unmet["a@50ms"]
    assert covered > 0.85 * 8 * MODELS["a"].throughput(56)


def test_pool_planning_takes_fewer_devices_than_none() -> None:
    rates = dict.fromkeys(MODELS, 800.0)
    pooled = make_plan(workload(rates), DEFAULT)
    apart = make_plan(workload(rates), policy("default-without-pools"))
    assert pooled.pools
    assert len(pooled.nodes) < len(apart.nodes)
    assert not apart.pools
    assert pooled.unmet == {}


def test_pool_planning_leaves_a_trickle_on_a_device_of_its_own() -> None:
    planned = make_plan(workload({"a": 20}), DEFAULT)
    assert (len(planned.nodes), planned.pools) == (1, ())


def test_pool_planning_squeezes_all_sessions_of_a_pool_alike() -> None:
    planned = make_plan(workload({"a": 4000, "b": 4000}, slo_ms=100, count=4), DEFAULT)
    assert sum(pool.fit.size for pool in planned.pools) == 4
    gaps = [planned.unmet[name] for name in ("a@100ms", "b@100ms")]
    assert min(gaps) == pytest.approx(max(gaps), rel=0.05)
    assert min(gaps) > 0


def test_pool_planning_keeps_name_sessions_and_devices_while_rates_move_a_little() -> None:
    rates = dict.fromkeys("abcdef", 900.0)
    first = make_plan(workload(rates), DEFAULT)
    (pool,) = first.pools
    for factor in (0.97, 1.0, 1.02):
        moved = {name: rate * factor for name, rate in rates.items()}
        again = make_plan(workload(moved), DEFAULT, previous=in_force(first), choose=going_on)
        (kept,) = again.pools
        assert (kept.name, kept.sessions) == (pool.name, pool.sessions)
        assert abs(kept.fit.size - pool.fit.size) <= 1
        assert again.unmet == {}


def test_pool_planning_grows_a_pool_and_shrinks_it_late() -> None:
    rates = dict.fromkeys("abcdef", 900.0)
    first = make_plan(workload(rates), DEFAULT)
    grown = make_plan(
        workload({name: rate * 1.5 for name, rate in rates.items()}),
        DEFAULT,
        previous=in_force(first),
        choose=going_on,
    )
    assert grown.pools[0].fit.size > first.pools[0].fit.size
    shrunk = make_plan(workload(rates), DEFAULT, previous=in_force(grown), choose=going_on)
    assert shrunk.pools[0].fit.size in (first.pools[0].fit.size, first.pools[0].fit.size + 1)


def test_pool_planning_lets_a_newcomer_into_a_pool_with_time_to_spare() -> None:
    rates = dict.fromkeys("abcdef", 850.0)
    first = make_plan(workload(rates), DEFAULT)
    again = make_plan(
        workload({**rates, "g": 5.0}), DEFAULT, previous=in_force(first), choose=going_on
    )
    assert "g@50ms" in again.pools[0].sessions
    assert again.pools[0].name == first.pools[0].name


def test_pool_planning_serves_what_two_batches_are_too_long_for() -> None:
    tight = workload({"a": 100}, slo_ms=12)
    planned = make_plan(tight, DEFAULT)
    assert planned.infeasible == ()
    assert planned.pools[0].sessions == ("a@12ms",)
    (entry,) = make_plan(tight, policy("default-without-pools")).infeasible
    assert entry.hint == "an SLO of 17.42 ms would do"


def test_pool_planning_names_what_would_make_a_session_feasible() -> None:
    beyond = replace(workload({"a": 100}, slo_ms=5), absent_types=("gpu2",))
    (entry,) = make_plan(beyond, DEFAULT).infeasible
    assert entry.reason == "l(1) = 8.71 ms, 2 l(1) > 5 ms"
    assert entry.hint == "an SLO of 8.71 ms would do"
    fast = linear_profile("a", "fast", 100, 1_000, 64)
    known = replace(
        beyond,
        profile=lambda model, device: fast if device == "fast" else profile_of(model, device),
        absent_types=("fast",),
    )
    (entry,) = make_plan(known, DEFAULT).infeasible
    assert entry.hint.endswith("a device of type fast would do")


VARIANTS = "\n".join(
    f"  - {{name: v{index}, "
    "profiles: {gpu: {alpha_ms: 1.053, beta_ms: 5.072, memory_mb: 1500}}, "
    "prefix: {group: variants, suffix_ms: 0.1, suffix_memory_mb: 30}}"
    for index in range(10)
)
PREFIX = (
    "name: prefix\ndevices: [{type: gpu, count: 1, memory_mb: 11000}]\nmodels:\n"
    + VARIANTS
    + "\nsessions:\n"
    + "\n".join(f"  - {{model: v{index}, slo_ms: 100, rate: 40}}" for index in range(10))
)


def test_pool_planning_holds_ten_variants_by_their_prefix() -> None:
    scenario = parse_scenario(PREFIX)
    plan = plan_scenario(scenario).plan
    assert (plan.devices_needed, plan.unmet) == ({"gpu": 1}, {})
    (backend,) = plan.backends
    assert {placement.group for placement in backend.placements} == {"variants"}
    assert backend.memory_bytes == (1500 + 9 * 30) * 1_000_000
    apart = plan_scenario(scenario, "default-without-prefix").plan
    assert apart.unmet, "ten times the weights do not fit"
    assert scenario.catalogue().profile("variants", "gpu") is not None


def test_pool_planning_pools_on_the_next_type_where_the_cheapest_is_all_taken() -> None:
    """On its own a device of the second type would do batches of 2 for the SLO, in a pool of 5."""
    scenario = parse_scenario("""
name: two-types
devices: [{type: fast, count: 2, price: 3}, {type: slow, count: 12}]
models:
  - name: large
    profiles: {fast: {alpha_ms: 0.75, beta_ms: 7.96, max_batch: 64}}
  - name: small
    profiles:
      fast: {alpha_ms: 0.75, beta_ms: 7.96, max_batch: 64}
      slow: {latency_ms: [20.2, 26.3, 31.3, 42.4, 45.1]}
sessions:
  - {model: large, slo_ms: 200, rate: 1500}
  - {model: small, slo_ms: 60, rate: 600}
""")
    plan = plan_scenario(scenario).plan
    slow = [p for backend in plan.backends for p in backend.placements if p.model == "small"]
    assert not plan.unmet
    assert {placement.pool for placement in slow} == {"small@60ms"}
    assert {placement.batch for placement in slow} == {5}
