"""The load generator's parts: seeded schedules, honest accounts, its own lag."""

from typing import Any

import pytest

from nexus.cli.bench_report import BenchReport, Tally, percentile
from nexus.cli.bench_schedule import Source, schedule, sources_of
from nexus.cli.load_generator import LoadGenerator
from nexus.client import operations
from nexus.core.errors import DeadlineError, InternalError, RefusedError
from nexus.core.tensor import DataType, Tensor
from nexus.scheduler.scenario_file import parse_scenario
from nexus.simulator.arrivals import Arrivals
from tests.client.fake_servers import Fake, echo, serve

SCENARIO = """
name: two
devices: [{type: v100}]
models:
  - {name: a, profiles: {v100: {latency_ms: [1, 2]}}}
sessions:
  - {model: a, slo_ms: 50, rate: 100}
  - {model: a, slo_ms: 90, rate: 10, arrivals: {kind: uniform}}
queries:
  - {name: q, slo_ms: 200, rate: 5, stages: [{name: s, model: a}]}
"""
SECOND_US = 1_000_000


def test_bench_sources_are_sessions_and_queries_at_a_factor() -> None:
    sources = sources_of(parse_scenario(SCENARIO), 2.0)
    assert [(s.name, s.target, s.slo_us, s.arrivals.rate, s.is_query) for s in sources] == [
        ("a@50ms", "a", 50_000, 200.0, False),
        ("a@90ms", "a", 90_000, 20.0, False),
        ("q", "q", 200_000, 10.0, True),
    ]


def test_bench_schedule_is_seeded_sorted_and_of_the_rate() -> None:
    sources = sources_of(parse_scenario(SCENARIO), 1.0)
    due = list(schedule(sources, 20 * SECOND_US, seed=3))
    assert due == list(schedule(sources, 20 * SECOND_US, seed=3))
    assert due != list(schedule(sources, 20 * SECOND_US, seed=4))
    assert [when for when, _ in due] == sorted(when for when, _ in due)
    counts = {s.name: sum(1 for _, source in due if source is s) for s in sources}
    assert counts["a@90ms"] == 200
    assert 1800 < counts["a@50ms"] < 2200


def test_bench_schedule_of_one_session_does_not_depend_on_the_others() -> None:
    sources = sources_of(parse_scenario(SCENARIO), 1.0)
    together = [when for when, s in schedule(sources, SECOND_US, 1) if s.name == "a@50ms"]
    assert together == [when for when, _ in schedule(sources[:1], SECOND_US, 1)]


def _source(slo_us: int = 50_000, rate: float = 200.0) -> Source:
    return Source(name="m@50ms", target="m", slo_us=slo_us, arrivals=Arrivals(rate=rate))


def test_bench_report_counts_good_late_dropped_and_failed() -> None:
    tally = Tally()
    for latency_us in (10_000, 50_000, 50_001):
        tally.answered(latency_us, 50_000)
    tally.refused(RefusedError("full", reason="overloaded"))
    tally.refused(DeadlineError("late"))
    tally.refused(InternalError("the model raised"))
    report = BenchReport(seconds=2.0, tallies={_source(): tally}, lags_us=[100] * 99 + [9_000])
    (session,) = report.as_data()["sessions"]
    assert session == {
        "session": "m@50ms",
        "offered": 6,
        "good": 2,
        "late": 1,
        "dropped": {"deadline": 1, "overloaded": 1},
        "failed": 1,
        "p50_ms": 50.0,
        "p99_ms": 50.001,
    }
    assert report.goodput == 1.0
    assert report.bad_fraction == pytest.approx(4 / 6)
    assert report.lag_p99_us == 100
    text = report.as_text()
    assert "m@50ms failed, first with: the model raised" in text
    assert "too slow" not in text


def test_bench_report_says_when_the_generator_was_the_slow_one() -> None:
    slow = BenchReport(seconds=1.0, tallies={}, lags_us=[6_000])
    assert "the generator was too slow" in slow.as_text()
    unsent = BenchReport(seconds=1.0, tallies={}, lags_us=[], unsent=1)
    assert "1 unsent" in unsent.as_text()
    assert unsent.bad_fraction == 1.0


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([7], 0.99, 7), ([3, 1, 2], 0.5, 2), (list(range(1, 101)), 0.99, 99)],
)
def test_bench_percentile_is_the_nearest_rank(
    values: list[int], share: float, expected: int
) -> None:
    assert percentile(values, share) == expected


async def test_load_generator_sends_on_time_and_waits_for_every_answer() -> None:
    fake = Fake()
    server = await serve(fake)

    async def refuse_every_fourth(request: Any) -> Any:
        if len(fake.seen) % 4 == 0:
            raise RefusedError("full", reason="queue_full")
        return await echo(request)

    fake.on_infer = refuse_every_fourth
    source = _source(slo_us=5_000_000)
    inputs = [Tensor("x", DataType.UINT8, (1, 1), b"x")]
    request = operations.infer(
        "m", inputs, version="", slo_ms=None, session=source.name, outputs=()
    )
    generator = LoadGenerator((fake.address,), {source: request})
    due = [(number * 2_000, source) for number in range(100)]
    report = await generator.run(due, warmup_us=40_000, duration_us=200_000)
    await server.stop(0)
    tally = report.tallies[source]
    assert len(fake.seen) == 100
    assert tally.offered == 80, "what was due in the warm-up is sent but not counted"
    assert tally.dropped["queue_full"] == 20
    assert tally.good == 60
    assert len(report.lags_us) == 80
