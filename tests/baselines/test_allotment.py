"""The batch-oblivious allotment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.simulator.baselines.allotment import even_splits, fill, oblivious_slots, shares
from nexus.simulator.baselines.situation import situation_of, uniform_devices
from tests.baselines.baseline_cases import mixed

amounts_lists = st.lists(st.floats(0.01, 4.0), min_size=1, max_size=8)


@given(amounts_lists)
def test_allotment_fill_loses_nothing_and_overfills_only_by_rounding(amounts: list[float]) -> None:
    bins = [sum(amounts) / 3] * 3
    filled = fill(amounts, bins)
    for source, amount in enumerate(amounts):
        poured = sum(part for mine in filled for from_, part in mine if from_ == source)
        assert poured == pytest.approx(amount, abs=1e-6)
    for room, mine in zip(bins, filled, strict=True):
        assert sum(part for _, part in mine) == pytest.approx(room, abs=1e-5)


def test_allotment_shares_every_device_and_every_rate() -> None:
    scenario = mixed()
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    assert sum(shares(situation)) == pytest.approx(4.0)
    slots = oblivious_slots(situation)
    for line, served in enumerate(situation.served):
        rate = sum(slot.rate for mine in slots for slot in mine if slot.line == line)
        assert rate == pytest.approx(served.rate)


def test_allotment_leaves_out_lines_that_joined_a_group() -> None:
    scenario = mixed()
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    assert shares(situation, leave_out=(0,))[0] == 0.0
