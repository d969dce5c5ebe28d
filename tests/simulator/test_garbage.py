"""Python's garbage collector during a simulation."""

import gc

import pytest

from nexus.simulator.garbage import COLLECT_AFTER, collecting_seldom


def test_garbage_is_collected_as_before_once_a_run_has_ended() -> None:
    before = gc.get_threshold()
    with collecting_seldom():
        assert gc.get_threshold()[0] == COLLECT_AFTER
    assert gc.get_threshold() == before


def test_garbage_is_collected_as_before_once_a_run_has_failed() -> None:
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError), collecting_seldom():
        _ = 1 / 0
    assert gc.get_threshold() == before
