"""The quick answers of the batch table are those of looking at every batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.scheduler.batch_table import batch_table
from nexus.scheduler.demand import Demand
from tests.scheduler.planning_cases import demand_lists


@given(demands=demand_lists())
def test_batch_table_saturates_as_a_look_at_every_batch_does(demands: list[Demand]) -> None:
    for demand in demands:
        latencies_us = demand.profile.latencies_us
        best = max(
            (
                (demand.profile.throughput(batch), batch)
                for batch in range(1, len(latencies_us) + 1)
                if 2 * latencies_us[batch - 1] <= demand.budget_us
            ),
            default=(0.0, 0),
        )
        assert demand.batch == best[1]


@given(demands=demand_lists(), share=st.floats(0.001, 0.999))
def test_batch_table_finds_the_least_occupancy_of_all_batches(
    demands: list[Demand], share: float
) -> None:
    for demand in demands:
        rate = share * demand.throughput
        batch, cycle_us = demand.table.alone(rate, demand.budget_us)
        latencies_us = demand.profile.latencies_us
        cycles_us = [
            min(demand.budget_us - latency_us, int(size * 1e6 / rate))
            for size, latency_us in enumerate(latencies_us, start=1)
        ]
        least = min(
            latency_us / cycle
            for latency_us, cycle in zip(latencies_us, cycles_us, strict=True)
            if cycle >= latency_us
        )
        # Cycles are rounded down to microseconds, so the best may not be exactly so.
        assert latencies_us[batch - 1] / cycle_us == pytest.approx(least, rel=1e-3)
        assert cycle_us + latencies_us[batch - 1] <= demand.budget_us
        assert batch >= rate * cycle_us / 1e6 - 1e-6


@given(demands=demand_lists())
def test_batch_table_runs_a_batch_as_the_cheapest_that_holds_it(demands: list[Demand]) -> None:
    for demand in demands:
        latencies_us = demand.profile.latencies_us
        for batch in range(1, demand.batch_limit + 1):
            cheapest = demand.cheapest[batch]
            assert cheapest >= batch
            assert latencies_us[cheapest - 1] == min(latencies_us[batch - 1 :])


@given(demands=demand_lists())
def test_batch_table_respects_the_cap(demands: list[Demand]) -> None:
    for demand in demands:
        table = batch_table(demand.profile, 1)
        assert (table.limit, table.useful) == (1, (1,))
