"""Admission keeps its promises under overload without starving, against a model of a backend."""

import random
from dataclasses import replace

import pytest

from nexus.core.request import DropReason
from nexus.core.routing import Route
from nexus.frontend.admission import CAUTION_MAX, CAUTION_MIN, RouteLoad, can_be_in_time
from tests.frontend.model_backend import ModelBackend, ModelFrontend, World

SECONDS = 12
ROUTE = Route(backend="b", address="", rate=100.0, batch=4, duty_cycle_us=50_000, latency_us=20_000)


def run(
    *,
    slo_us: int,
    load: float,
    others_us: int = 0,
    backends: int = 1,
    frontends: int = 1,
    warm_s: int = 0,
    alpha_us: int = 1_000,
    beta_us: int = 23_000,
    batch: int = 25,
) -> tuple[float, float, float]:
    """Offered Poisson ``load`` (1: capacity); the parts admitted and in time, and the goodput."""
    world = World()
    devices = {
        f"b{i}": ModelBackend(world, alpha_us, beta_us, batch, others_us, random.Random(i))
        for i in range(backends)
    }
    doors = [ModelFrontend(world, devices, slo_us) for _ in range(frontends)]
    capacity = sum(device.capacity for device in devices.values())
    end_us = (warm_s + SECONDS) * 1_000_000
    for seed, door in enumerate(doors):
        door.offer_poisson(capacity * load / frontends, 0, end_us, random.Random(100 + seed))
    world.run_until(warm_s * 1_000_000)
    offered, admitted, in_time = (-count for count in _counts(doors))
    world.run_until(end_us + 2_000_000)
    for_all = _counts(doors)
    offered, admitted, in_time = (offered + for_all[0], admitted + for_all[1], in_time + for_all[2])
    assert all(len(door.outcomes) == door.offered for door in doors)
    return admitted / offered, in_time / admitted, in_time / SECONDS / capacity


def _counts(doors: list[ModelFrontend]) -> tuple[int, int, int]:
    return (
        sum(door.offered for door in doors),
        sum(door.admitted for door in doors),
        sum(door.in_time for door in doors),
    )


@pytest.mark.parametrize("load", [2.0, 4.0])
@pytest.mark.parametrize(
    ("slo_us", "others_us"), [(100_000, 0), (110_000, 20_000)], ids=["dedicated", "shared"]
)
def test_admission_overload_keeps_admitted_in_time_and_the_device_busy(
    load: float, slo_us: int, others_us: int
) -> None:
    _, kept, goodput = run(slo_us=slo_us, load=load, others_us=others_us)
    assert kept >= 0.99
    assert goodput >= 0.95


def test_admission_refuses_next_to_nothing_below_capacity() -> None:
    admitted, kept, _ = run(slo_us=100_000, load=0.8)
    assert admitted >= 0.99
    assert kept >= 0.99


def test_admission_small_batches_of_a_long_duty_cycle_are_not_starved() -> None:
    _, kept, goodput = run(
        slo_us=105_000, load=2.0, others_us=80_000, alpha_us=1_000, beta_us=4_000, batch=4
    )
    assert kept >= 0.99
    assert goodput >= 0.9


@pytest.mark.parametrize(("backends", "frontends"), [(1, 2), (4, 4)])
def test_admission_frontends_that_share_backends_learn_to_make_room(
    backends: int, frontends: int
) -> None:
    _, kept, goodput = run(
        slo_us=100_000, load=2.0, backends=backends, frontends=frontends, warm_s=10
    )
    assert kept >= 0.99
    assert goodput >= 0.95


def test_admission_expects_an_idle_route_to_take_one_batch() -> None:
    assert RouteLoad().expected_us(ROUTE, 1, 0) == 20_000
    assert RouteLoad().expected_us(ROUTE, 5, 0) == 40_000


def test_admission_counts_the_batches_ahead() -> None:
    load = RouteLoad()
    load.sent(ROUTE, 4, 0)
    # The first batch starts within a duty cycle; the fifth item has to wait for the next.
    assert load.expected_us(ROUTE, 1, 0) == 30_000 + 50_000 + 20_000
    load.answered(ROUTE, 3, 50_000)
    assert load.expected_us(ROUTE, 1, 50_000) == 30_000 + 20_000
    load.released(1)
    assert load.outstanding == 0


def test_admission_learns_that_a_device_is_faster_than_its_duty_cycle() -> None:
    load = RouteLoad()
    load.sent(ROUTE, 4, 0)
    for now_us in range(20_000, 420_000, 20_000):
        load.sent(ROUTE, 4, now_us)
        load.answered(ROUTE, 4, now_us)
    assert load.expected_us(ROUTE, 1, 400_000) == pytest.approx(20_000 + 20_000, rel=0.05)
    load.unlearn()
    assert load.expected_us(ROUTE, 1, 400_000) == pytest.approx(50_000 + 20_000, rel=0.05)


def test_admission_does_not_refuse_what_an_eager_backend_can_do() -> None:
    # The plan reckons with busy neighbours; they are idle, and the load is twice what was planned.
    world = World()
    device = ModelBackend(world, 1_000, 9_000, 4)
    door = ModelFrontend(world, {"b": device}, 100_000, duty_cycle_us=60_000)
    door.offer_poisson(2 * 4 / 0.060, 0, 20_000_000, random.Random(1))
    world.run_until(21_000_000)
    assert door.admitted / door.offered >= 0.98
    assert door.in_time / door.admitted >= 0.99


def test_admission_overdue_batch_is_expected_now_and_never_before() -> None:
    load = RouteLoad()
    load.sent(ROUTE, 1, 0)
    assert load.expected_us(ROUTE, 1, 10_000_000) == 0


def test_admission_caution_rises_little_for_misses_sent_together_and_is_bounded() -> None:
    load = RouteLoad()
    for _ in range(50):
        load.learn(in_time=False, sent_us=10, now_us=100)
    once = load.caution
    assert once == pytest.approx(1.1**4)
    for now_us in range(200, 20_000, 100):
        load.learn(in_time=False, sent_us=now_us - 1, now_us=now_us)
    assert load.caution == CAUTION_MAX
    raised_us = 20_000
    load.learn(in_time=True, sent_us=0, now_us=raised_us + 30_000_000)
    assert load.caution == pytest.approx(1 + (CAUTION_MAX - 1) / 2, rel=0.01)
    for _ in range(100_000):
        load.learn(in_time=True, sent_us=0, now_us=raised_us + 30_000_000)
    assert load.caution == CAUTION_MIN


def test_admission_trusts_a_backend_that_fills_larger_batches_than_planned() -> None:
    load = RouteLoad()
    load.sent(ROUTE, 2 * ROUTE.batch, 0)
    planned_us = load.expected_us(ROUTE, 1, 0)
    for _ in range(1_000):
        load.learn(in_time=True, sent_us=0, now_us=0)
    assert load.expected_us(ROUTE, 1, 0) == planned_us - ROUTE.duty_cycle_us


def test_admission_keeps_the_way_free() -> None:
    assert can_be_in_time(98_000, 100_000, travel_us=2_000)
    assert not can_be_in_time(98_001, 100_000, travel_us=2_000)
    assert not can_be_in_time(1, 0, travel_us=2_000)


def test_admission_keeps_little_of_a_short_time_free() -> None:
    assert can_be_in_time(9_700, 10_000, travel_us=2_000)
    assert not can_be_in_time(9_701, 10_000, travel_us=2_000)


def test_admission_refusal_says_how_long_and_when_to_come_back() -> None:
    world = World()
    door = ModelFrontend(world, {"b": ModelBackend(world, 1_000, 23_000, 25)}, 100_000)
    for _ in range(200):
        door.offer()
    refused = [o for o in door.outcomes.values() if o.reason is DropReason.OVERLOADED]
    assert refused
    assert all(o.expected_wait_us > 97_000 and o.retry_after_us >= 1_000 for o in refused)
    assert "100.0 ms are left" in refused[0].message


def test_admission_reckons_with_a_batch_of_one_on_an_idle_route() -> None:
    route = replace(ROUTE, single_us=8_000)
    assert RouteLoad().expected_us(route, 1, 0) == 8_000
    assert RouteLoad().expected_us(route, 3, 0) == 16_000
    assert RouteLoad().expected_us(route, 4, 0) == route.latency_us
    assert RouteLoad().expected_us(route, 5, 0) == route.latency_us + 8_000
    assert RouteLoad().expected_us(ROUTE, 1, 0) == ROUTE.latency_us


def test_admission_trusts_sooner_what_never_missed() -> None:
    trusted, doubted = RouteLoad(), RouteLoad()
    doubted.learn(in_time=False, sent_us=0, now_us=0)
    doubted.caution = trusted.caution
    for _ in range(100):
        trusted.learn(in_time=True, sent_us=0, now_us=0)
        doubted.learn(in_time=True, sent_us=0, now_us=0)
    assert trusted.caution < 0.65
    assert doubted.caution > 0.9
    doubted.unlearn()
    doubted.learn(in_time=True, sent_us=0, now_us=0)
    assert doubted.caution < 0.999
