"""How long chunks are, how long sequences take, and how many slots are worth having."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.kernels.cellular.chunk_cost import (
    OVERHEAD_SHARE,
    best_slots,
    chunk_cost,
    chunk_steps,
    finish_us,
)
from nexus.core.errors import InvalidArgumentError
from tests.kernels.cellular_world import linear_cost


def test_cost_lies_on_lines_between_what_was_measured_and_never_falls() -> None:
    cost = chunk_cost({2: (10.0, 4.0), 4: (8.0, 8.0), 6: (20.0, 7.0)})
    assert cost.rows_max == 6
    assert cost.steps_us == (0.0, 4.0, 4.0, 6.0, 8.0, 8.0, 8.0)
    assert cost.overheads_us == (0.0, 10.0, 10.0, 10.0, 10.0, 14.0, 20.0)


@pytest.mark.parametrize("measured", [{}, {0: (1.0, 1.0)}, {1: (1.0, 0.0)}, {1: (0.0, 1.0)}])
def test_cost_of_nothing_or_no_time_is_refused(
    measured: dict[int, tuple[float, float]],
) -> None:
    with pytest.raises(InvalidArgumentError, match="costs of chunks by rows"):
        chunk_cost(measured)


@given(
    rows=st.integers(1, 32),
    overhead_us=st.floats(0.5, 200),
    step_us=st.floats(0.5, 500),
)
def test_preferred_chunk_is_the_shortest_within_its_share_of_overhead(
    rows: int, overhead_us: float, step_us: float
) -> None:
    cost = linear_cost(overhead_us=overhead_us, first_us=step_us)
    steps = cost.preferred_steps[rows]
    step_us = cost.steps_us[rows]
    assert overhead_us <= OVERHEAD_SHARE * steps * step_us * (1 + 1e-9)
    assert steps == 1 or overhead_us > OVERHEAD_SHARE * (steps - 1) * step_us * (1 - 1e-9)


def test_chunk_is_no_longer_than_what_is_there_or_what_there_is_time_for() -> None:
    cost = linear_cost(overhead_us=30.0, first_us=10.0)
    assert chunk_steps(cost, 1, longest=100, room_us=10_000) == 60
    assert chunk_steps(cost, 1, longest=7, room_us=10_000) == 7
    assert chunk_steps(cost, 1, longest=100, room_us=80) == 5
    assert chunk_steps(cost, 1, longest=100, room_us=-80) == 1


@given(
    others=st.lists(st.integers(0, 300), max_size=8).map(sorted),
    steps=st.integers(1, 300),
)
def test_finish_is_what_stepping_through_the_company_takes(others: list[int], steps: int) -> None:
    cost = linear_cost()
    stepwise_us = sum(
        cost.paced_us[1 + sum(left > step for left in others)] for step in range(steps)
    )
    assert finish_us(cost, others, steps) == pytest.approx(stepwise_us)


def test_slots_are_as_many_as_pay_within_the_budget() -> None:
    # Throughput grows up to 6 rows, and hardly more.
    cost = chunk_cost({1: (0.01, 6.0), 6: (0.01, 12.0), 12: (0.01, 23.5)})
    assert best_slots(cost, steps=100, budget_us=1_000_000) == 6
    assert best_slots(cost, steps=100, budget_us=1_100) == 5
    assert best_slots(cost, steps=100, budget_us=10) == 1
