"""Sessions that share batches: who joins, what they are as one, and how the plan says it."""

from dataclasses import replace

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile, linear_profile
from nexus.scheduler.backend_plans import as_backend_plan, folded
from nexus.scheduler.candidate import Candidate
from nexus.scheduler.co_batching import co_batched, occupied, together
from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import Choice, covered_sessions
from nexus.scheduler.node import alone_node, merge
from tests.scheduler.planning_cases import demand_of

PROFILE = linear_profile("resnet", "gpu", 750, 7_960, 64, memory_bytes=400)
GROUP = linear_profile("variants", "gpu", 800, 8_200, 64, memory_bytes=430)
DEVICE = DeviceSpec(type="gpu")


def session(slo_ms: int, rate: float, profile: Profile = PROFILE) -> Demand:
    return demand_of(profile, slo_ms * 1000, rate, name=f"{profile.model}@{slo_ms}")


def candidate(demand: Demand) -> Candidate:
    return Candidate((demand,), Choice((demand,)))


def test_co_batching_joins_where_that_saves_device_time() -> None:
    demands = [session(100, 60), session(110, 50), session(120, 40)]
    (one,) = co_batched(candidate(demand) for demand in demands)
    assert one.name == "resnet@100", "the tightest leads"
    assert one.own is not None
    (joined,) = one.own.demands
    assert joined.rate == 150
    assert {part.session.name for part in joined.parts} == {d.name for d in demands}
    assert sum(part.share for part in joined.parts) == pytest.approx(1)
    assert occupied(joined) <= sum(map(occupied, demands))


def test_co_batching_leaves_apart_whom_the_tightest_slo_would_cost_more() -> None:
    demands = [session(20, 5), session(1000, 4000)]
    assert len(co_batched(candidate(demand) for demand in demands)) == 2


def test_co_batching_never_joins_different_models_without_a_prefix() -> None:
    other = replace(PROFILE, model="other")
    demands = [session(100, 60), session(100, 60, other)]
    assert len(co_batched(candidate(demand) for demand in demands)) == 2


def test_co_batching_joins_models_of_a_prefix_group_by_its_profile() -> None:
    variants = [replace(PROFILE, model=f"variant{index}") for index in range(4)]
    demands = [session(100, 60, profile) for profile in variants]
    (one,) = co_batched(map(candidate, demands), {}, lambda _: GROUP, alike=False)
    assert one.own is not None
    assert one.own.demands[0].profile == GROUP
    apart = co_batched(map(candidate, demands), alike=False)
    assert len(apart) == 4


def test_co_batching_joins_large_models_of_a_prefix_group_all_at_once() -> None:
    # One by one each of them fills devices better alone; together they share only one residue.
    rates = (2_150, 2_080, 1_400, 1_330, 650, 590)
    demands = [
        session(100, rate, replace(PROFILE, model=f"variant{index}"))
        for index, rate in enumerate(rates)
    ]
    little = linear_profile("variants", "gpu", 760, 7_960, 64)
    joined = co_batched(map(candidate, demands), {}, lambda _: little, alike=False)
    (one,) = joined
    assert one.own is not None
    assert {part.session.name for part in one.own.demands[0].parts} == {d.name for d in demands}
    costly = linear_profile("variants", "gpu", 900, 7_960, 64)
    assert len(co_batched(map(candidate, demands), {}, lambda _: costly, alike=False)) > 1


def test_co_batching_allows_for_the_bursts_that_random_sessions_even_out_together() -> None:
    demands = [session(100, 830), session(110, 900), session(120, 490)]
    even = [d._replace(session=replace(d.session, arrives_evenly=True)) for d in demands]
    assert len(co_batched(map(candidate, demands))) == 1
    assert len(co_batched(map(candidate, even))) == 3
    far = [session(100, 8_300), session(200, 9_000), session(300, 4_900)]
    assert len(co_batched(map(candidate, far))) > 1, "the tightest SLO would cost the others more"


def test_co_batching_shows_every_session_in_the_plan() -> None:
    variants = [replace(PROFILE, model=f"variant{index}") for index in range(4)]
    joined = together([session(100, 60, profile) for profile in variants], GROUP)
    node = alone_node(joined, DEVICE)
    plan = as_backend_plan(node, "b0")
    assert [placement.session for placement in plan.placements] == [
        f"variant{index}@100" for index in range(4)
    ]
    assert {placement.group for placement in plan.placements} == {"variants"}
    assert {placement.batch for placement in plan.placements} == set(node.batches)
    assert sum(placement.rate for placement in plan.placements) == pytest.approx(240)
    assert sum(placement.memory_bytes for placement in plan.placements) == GROUP.memory_bytes
    assert covered_sessions([node])["variant2@100"] == pytest.approx(60)


def test_co_batching_plans_read_back_under_the_leads_name() -> None:
    joined = together([session(100, 60), session(110, 50)])
    plan = as_backend_plan(alone_node(joined, DEVICE), "b0")
    leads = {part.session.name: joined.name for part in joined.parts}
    (read,) = folded([plan], leads)
    (placement,) = read.placements
    assert placement.session == "resnet@100"
    assert placement.rate == pytest.approx(110)
    assert folded([plan], {})[0].placements == plan.placements


def test_co_batching_keeps_two_groups_of_one_model_on_a_device_apart() -> None:
    tight = together([session(100, 10), session(110, 10)])
    loose = together([session(900, 10), session(950, 10)])
    node = merge(alone_node(tight, DEVICE), alone_node(loose, DEVICE))
    assert node is not None
    groups = {p.session: (p.group, p.batch) for p in as_backend_plan(node, "b0").placements}
    assert groups["resnet@100"] == groups["resnet@110"]
    assert groups["resnet@900"] == groups["resnet@950"]
    assert groups["resnet@100"][0] != groups["resnet@900"][0], "a backend goes by the name"
