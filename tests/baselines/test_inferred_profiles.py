"""Profiles inferred from published rates: a known line comes back from the rates it gives."""

import pytest

from nexus.simulator.experiments.inferred_profiles import (
    copies_points,
    even_split_points,
    inferred_line,
)
from nexus.simulator.experiments.query_analysis import INCEPTION_MS, SSD_MS

LINE = (2.0, 10.0)
"""l(5) = 20 ms, l(10) = 30 ms."""


def test_inferred_line_of_points_on_a_line_is_that_line() -> None:
    assert inferred_line(12.0, [(5, 20.0), (10, 30.0)]) == LINE


def test_copies_points_wait_for_a_cycle_and_then_run() -> None:
    # Two copies, SLO 60 ms: a cycle of two batches of 5, then 20 ms more. 5 items in 20 ms.
    assert copies_points({2: 250.0}, slo_ms=60.0) == [(5.0, 20.0)]


def test_even_split_points_give_the_second_stage_its_share() -> None:
    # SLO 80 ms: 20 ms a batch. Four devices do 5 frames in 20 ms each when half an item per frame
    # of the second stage takes 0.5 x 4 ms besides: 6 ms a frame.
    (point,) = even_split_points({80.0: 4 * 1000 / 6}, devices=4, fan_out=0.5, second=LINE)
    assert point == pytest.approx((5.0, 20.0))


def test_inferred_profiles_of_figure_17_pass_through_the_published_batch_of_one() -> None:
    assert sum(SSD_MS) == pytest.approx(47.0)
    assert sum(INCEPTION_MS) == pytest.approx(7.0)
    assert SSD_MS[0] == pytest.approx(20.9, abs=0.1)
    assert INCEPTION_MS[0] == pytest.approx(0.62, abs=0.01)
