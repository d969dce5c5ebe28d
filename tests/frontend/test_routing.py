"""Deficit round-robin: shares in items, credit across tables, lost backends skipped."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nexus.core.routing import Route
from nexus.frontend.routing import DeficitRoundRobin


def route(backend: str, rate: float) -> Route:
    return Route(backend=backend, address="", rate=rate, batch=4, duty_cycle_us=10, latency_us=5)


def spread(router: DeficitRoundRobin, picks: int, items: int = 1) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _ in range(picks):
        chosen = router.pick(router.routes)
        assert chosen is not None
        router.spend(chosen, items)
        counts[chosen.backend] += items
    return counts


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 8), st.integers(0, 3))
def test_routing_follows_the_planned_rates(rates: list[int], items: int, zeros: int) -> None:
    routes = tuple(route(f"b{i}", float(rate)) for i, rate in enumerate(rates))
    router = DeficitRoundRobin()
    router.update(routes)
    rounds = sum(rates) / min(rates)
    picks = int(20 * rounds) + zeros
    counts = spread(router, picks, items)
    for one in routes:
        expected = picks * items * one.rate / sum(rates)
        # Nobody is ever more than about one round and one dispatch away from its share.
        assert abs(counts[one.backend] - expected) <= 2 * one.rate / min(rates) + 2 * items + 1


def test_routing_interleaves_rather_than_bursts() -> None:
    router = DeficitRoundRobin()
    router.update((route("a", 2.0), route("b", 1.0)))
    order = []
    for _ in range(6):
        chosen = router.pick(router.routes)
        assert chosen is not None
        router.spend(chosen, 1)
        order.append(chosen.backend)
    assert order == ["a", "b", "a", "b", "a", "a"]


def test_routing_keeps_credit_of_routes_that_stay() -> None:
    router = DeficitRoundRobin()
    router.update((route("a", 1.0), route("b", 1.0)))
    first = router.pick(router.routes)
    assert first is not None
    router.spend(first, 50)
    router.update((route("a", 1.0), route("b", 1.0), route("c", 1.0)))
    assert spread(router, 40)[first.backend] == 0


def test_routing_skips_the_lost_and_does_not_flood_them_on_return() -> None:
    router = DeficitRoundRobin()
    a, b = route("a", 1.0), route("b", 1.0)
    router.update((a, b))
    for _ in range(100):
        chosen = router.pick([a])
        assert chosen is a
        router.spend(a, 1)
    counts = spread(router, 20)
    assert abs(counts["a"] - counts["b"]) <= 2


def test_routing_without_candidates_picks_nothing() -> None:
    router = DeficitRoundRobin()
    assert router.pick(()) is None
    router.update((route("a", 0.0),))
    assert spread(router, 3)["a"] == 3


def test_routing_leaves_spares_to_those_whom_no_other_can_serve() -> None:
    router = DeficitRoundRobin()
    usual, spare = route("a", 1.0), replace(route("s", 0.0), spare=True)
    router.update((spare, usual))
    assert [router.turn() for _ in range(3)] == [usual] * 3
    assert router.pick((spare, usual)) is usual
    assert router.pick((spare,)) is spare
    router.reach({"s"})
    assert router.turn() is spare
