"""Sessions whose items come at equal gaps: what is planned for them, and who is one."""

import random
from dataclasses import replace

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.query import Query, Stage
from nexus.core.session import Session, SessionLoad
from nexus.core.units import US_PER_S
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.envelope import Spread
from nexus.scheduler.expectation import Expectation
from nexus.scheduler.planner import Planned, Workload, make_plan
from nexus.scheduler.resources import parse_resources
from nexus.scheduler.scenario_file import parse_scenario
from nexus.scheduler.settings import DEFAULT, POLICIES
from nexus.scheduler.workload import QueryLoad

PROFILES = {name: linear_profile(name, "gpu", 1_000, 25_000, 64) for name in "abcdefgh"}
LOOK = Query(
    name="look",
    slo_us=400_000,
    stages=(
        Stage(name="detect", model="a"),
        Stage(name="scene", model="b", fan_out=0.5),
        Stage(name="car", model="c", after=("detect",), fan_out=2.0),
    ),
    arrives_evenly=True,
)


def planned(
    rates: dict[str, float], *, even: bool, slo_ms: int = 150, policy: str = "default"
) -> Planned:
    sessions = tuple(
        SessionLoad(Session(model=name, slo_us=slo_ms * 1000, arrives_evenly=even), rate)
        for name, rate in rates.items()
    )
    return make_plan(workload(sessions=sessions), POLICIES[policy])


def workload(
    sessions: tuple[SessionLoad, ...] = (), queries: tuple[QueryLoad, ...] = ()
) -> Workload:
    return Workload(
        devices=(DeviceSpec(type="gpu"),),
        profile=lambda model, _: PROFILES.get(model),
        sessions=sessions,
        queries=queries,
    )


def test_even_sessions_need_fewer_devices_than_random_ones() -> None:
    rates = dict.fromkeys("abc", 600.0)
    assert len(planned(rates, even=True, policy="default-without-pools").nodes) == 3
    assert len(planned(rates, even=False, policy="default-without-pools").nodes) > 3


def test_even_sessions_that_fill_devices_of_their_own_have_no_pool() -> None:
    rates = dict.fromkeys("ab", 600.0)
    apart = planned(rates, even=True)
    assert not apart.pools
    assert not apart.unmet
    assert planned(rates, even=False).pools


def test_placements_say_whose_items_come_evenly() -> None:
    sessions = tuple(
        SessionLoad(Session(model=name, slo_us=150_000, arrives_evenly=name == "a"), 100.0)
        for name in "ab"
    )
    nodes = make_plan(workload(sessions=sessions), POLICIES["default-without-pools"]).nodes
    placements = [one for node in nodes for one in as_backend_plan(node).placements]
    even = {one.model: one.arrives_evenly for one in placements}
    assert even == {"a": True, "b": False}


def test_even_session_is_pooled_where_that_saves_a_device() -> None:
    alone = PROFILES["a"].throughput(10)
    (pool,) = planned({"a": 6 * alone}, even=True, slo_ms=70).pools
    assert pool.fit.size < 6


def test_even_frames_make_only_stages_that_each_of_them_calls_even() -> None:
    loads = make_plan(workload(queries=(QueryLoad(query=LOOK, rate=50.0),)), DEFAULT).loads
    even = {load.session.name: load.session.arrives_evenly for load in loads}
    assert even == {"look/detect": True, "look/scene": False, "look/car": False}


def test_even_arrivals_are_believed_until_seen_otherwise() -> None:
    rng, spread = random.Random(3), Spread()
    steady, chancy = (
        SessionLoad(Session(model=name, slo_us=150_000, arrives_evenly=True), 100.0)
        for name in "ab"
    )
    expected = Expectation((steady, chancy), (QueryLoad(query=LOOK, rate=50.0),))
    assert expected.believed(spread.may_be_even) == expected
    for second in range(12):
        counted = sum(rng.random() < 0.1 for _ in range(1000))
        rates = {steady.session.name: 100.0, chancy.session.name: counted, LOOK.name: 50.0}
        spread = spread.after(rates, second * US_PER_S)
    random_one = replace(chancy, session=replace(chancy.session, arrives_evenly=False))
    assert expected.believed(spread.may_be_even) == replace(expected, sessions=(steady, random_one))


def test_even_arrivals_are_declared_by_resources_and_by_scenarios() -> None:
    text = "{kind: Session, model: a, slo_ms: 50, arrivals: even}"
    (session,) = parse_resources(text, "test")
    assert isinstance(session, Session)
    assert session.arrives_evenly
    scenario = parse_scenario(
        """
        name: two
        devices: [{type: gpu, count: 1}]
        models: [{name: a, profiles: {gpu: {alpha_ms: 1, beta_ms: 25, max_batch: 8}}}]
        sessions:
          - {model: a, slo_ms: 100, rate: 5, arrivals: {kind: uniform}}
          - {model: a, slo_ms: 200, rate: 5}
        """,
        "test",
    )
    assert [one.arrives_evenly for one in scenario.catalogue().sessions] == [True, False]
