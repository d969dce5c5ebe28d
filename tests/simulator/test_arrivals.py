"""Arrival processes have the rate and the burstiness they promise."""

import itertools
import random
import statistics

import pytest

from nexus.core.errors import InvalidArgumentError
from nexus.scheduler import scenario
from nexus.simulator.arrivals import ArrivalKind, Arrivals, arrival_times, arrivals_of

DURATION_US = 200_000_000


def times(arrivals: Arrivals, seed: int = 3) -> list[int]:
    return list(arrival_times(arrivals, DURATION_US, random.Random(seed)))


def gap_cv(seen: list[int]) -> float:
    gaps = [after - before for before, after in itertools.pairwise(seen)]
    return statistics.pstdev(gaps) / statistics.mean(gaps)


@pytest.mark.parametrize(
    ("kind", "cv"),
    [(ArrivalKind.UNIFORM, 0.0), (ArrivalKind.POISSON, 1.0), (ArrivalKind.BURSTY, 3.0)],
)
def test_arrivals_keep_rate_and_variation(kind: ArrivalKind, cv: float) -> None:
    seen = times(Arrivals(rate=100, kind=kind, cv=cv or 1.0))
    assert len(seen) == pytest.approx(20_000, rel=0.08)
    assert gap_cv(seen) == pytest.approx(cv, abs=0.02 + 0.1 * cv)
    assert seen == sorted(seen)


def test_arrivals_depend_on_the_seed_alone() -> None:
    arrivals = Arrivals(rate=50)
    assert times(arrivals, 1) == times(arrivals, 1)
    assert times(arrivals, 1) != times(arrivals, 2)


def test_arrivals_step_multiplies_the_rate_from_its_moment_on() -> None:
    step = Arrivals(rate=100, kind=ArrivalKind.STEP, at_us=100_000_000, factor=1.5)
    seen = times(step)
    before = sum(when_us < 100_000_000 for when_us in seen)
    assert before == pytest.approx(10_000, rel=0.05)
    assert len(seen) - before == pytest.approx(15_000, rel=0.05)


def test_arrivals_trace_is_replayed_up_to_the_end() -> None:
    declared = scenario.Arrivals(kind="trace", parameters={"times_s": [3, 1.5, 900]})
    assert times(arrivals_of(declared, 1.0)) == [1_500_000, 3_000_000]


def test_arrivals_of_nothing_is_nothing() -> None:
    assert times(Arrivals(rate=0)) == []


@pytest.mark.parametrize(
    "declared",
    [
        scenario.Arrivals(kind="bursty", parameters={"cv": "high"}),
        scenario.Arrivals(kind="bursty", parameters={"cv": -1}),
        scenario.Arrivals(kind="trace", parameters={"times_s": ["noon"]}),
    ],
)
def test_arrivals_refuse_parameters_that_are_none(declared: scenario.Arrivals) -> None:
    with pytest.raises(InvalidArgumentError, match="arrivals"):
        arrivals_of(declared, 10.0)
