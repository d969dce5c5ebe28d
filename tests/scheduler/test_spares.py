"""Warm spares: what idle backends load, and that it stays the same."""

from dataclasses import replace

from nexus.core.cluster import BackendState, BackendStatus
from nexus.core.plan import BackendPlan, Placement
from nexus.scheduler.spares import SPARE_SESSIONS_MAX, spare_plans


def placement(session: str, rate: float = 100.0, pool: str | None = None) -> Placement:
    """A model of its own for every session; 10 ms an item."""
    return Placement(
        session=session,
        model=f"model-{session}",
        slo_us=100_000,
        batch=1,
        rate=rate,
        latency_us=10_000,
        memory_bytes=10,
        pool=pool,
    )


def used(name: str, *placements: Placement) -> BackendPlan:
    return BackendPlan(
        backend=name, device="gpu", duty_cycle_us=40_000, occupancy=0.5, placements=placements
    )


def status(name: str, *loaded: str, memory_bytes: int = 0, failed: str = "") -> BackendStatus:
    return BackendStatus(
        backend=name,
        incarnation=1,
        address="",
        control_address="",
        device="gpu",
        memory_bytes=memory_bytes,
        state=BackendState.SERVING,
        loaded=loaded,
        failed={failed: "no such weights"} if failed else {},
    )


def shown(plans: tuple[BackendPlan, ...]) -> dict[str, list[str]]:
    return {plan.backend: [placement.session for placement in plan.placements] for plan in plans}


def spares(
    target: list[BackendPlan],
    usable: list[BackendStatus],
    dispersions: dict[str, float] | None = None,
    share: float = 1.0,
) -> tuple[BackendPlan, ...]:
    known = dispersions or {}
    return spare_plans(target, usable, lambda session: known.get(session, 1.0), share=share)


def test_spares_are_idle_backends_with_everything_that_fits() -> None:
    target = [used("b0", placement("big", 80), placement("small", 10))]
    plans = spares(target, [status("b0"), status("b1")])
    assert shown(plans) == {"b1": ["big", "small"]}
    assert all(p.spare and p.rate == 0 for plan in plans for p in plan.placements)
    assert (plans[0].occupancy, plans[0].memory_bytes) == (0.0, 20)


def test_spares_take_what_is_most_needed_where_memory_is_short() -> None:
    target = [used("b0", placement("big", 80), placement("small", 10), placement("mid", 40))]
    usable = [status("b0"), *(status(name, memory_bytes=10) for name in ("b1", "b2", "b3"))]
    assert shown(spares([*target, *[used(f"x{i}") for i in range(2)]], usable)) == {
        "b1": ["big"],
        "b2": ["big"],
        "b3": ["mid"],
    }


def test_spares_count_uneven_sessions_for_more() -> None:
    target = [used("b0", placement("even", 50), placement("bursty", 30))]
    usable = [status("b0"), status("b1", memory_bytes=10)]
    assert shown(spares(target, usable)) == {"b1": ["even"]}
    assert shown(spares(target, usable, {"bursty": 9.0})) == {"b1": ["bursty"]}


def test_spares_are_at_most_a_share_of_those_in_use() -> None:
    target = [used(name, placement("s")) for name in ("b0", "b1", "b2", "b3")]
    usable = [status(f"b{index}") for index in range(10)]
    assert len(spares(target, usable, share=0.5)) == 2
    assert spares(target, usable, share=0.0) == ()


def test_spares_keep_what_they_have_loaded() -> None:
    target = [used("b0", placement("one", 50), placement("two", 60))]
    idle = status("b1", "one", memory_bytes=10)
    assert shown(spares(target, [status("b0"), idle, status("a")])) == {"b1": ["one"]}
    grown = [used("b0", placement("one", 50), placement("two", 90))]
    assert shown(spares(grown, [status("b0"), idle, status("a")])) == {"b1": ["two"]}


def test_spares_do_not_try_what_they_could_not_load() -> None:
    target = [used("b0", placement("one", 50), placement("two", 40))]
    assert shown(spares(target, [status("b0"), status("b1", failed="one")])) == {"b1": ["two"]}


def test_spare_of_a_pool_has_all_its_sessions_and_only_the_first_pool_may_use_it() -> None:
    first = [placement("s0", 60, "p"), placement("s1", 10, "p")]
    second = [placement("t0", 30, "q")]
    target = [used("b0", *first), used("b1", *first), used("b2", *second), used("b3", *second)]
    (plan,) = spares(target, [status("b9")])
    assert [(p.session, p.pool) for p in plan.placements] == [
        ("s0", "p"),
        ("s1", "p"),
        ("t0", None),
    ]


def test_spares_load_a_bounded_number_of_sessions() -> None:
    target = [used("b0", *(placement(f"s{index}") for index in range(2 * SPARE_SESSIONS_MAX)))]
    (plan,) = spares(target, [status("b1")])
    assert len(plan.placements) == SPARE_SESSIONS_MAX


def test_spares_are_of_the_device_type_that_the_plan_uses() -> None:
    target = [used("b0", placement("s"))]
    assert spares(target, [replace(status("c0"), device="cpu")]) == ()
