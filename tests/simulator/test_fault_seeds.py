"""Random clusters that break: every checker on, and life afterwards, whatever the seed.

A failing seed names the command that runs it again.
"""

import pytest

from nexus.simulator.fault_seeds import check_seed, random_scenario

SEEDS = 1_000
SEEDS_A_TEST = 50
QUICK_SEEDS = 20


def failures(seeds: range) -> list[str]:
    """What went wrong, by seed."""
    found = []
    for seed in seeds:
        try:
            check_seed(seed)
        except AssertionError as error:
            found.append(f"python -m nexus.simulator.replay {seed}: {error}")
    return found


@pytest.mark.parametrize("first", range(0, QUICK_SEEDS, 5))
def test_fault_seeds_hold(first: int) -> None:
    assert failures(range(first, first + 5)) == []


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(QUICK_SEEDS, SEEDS, SEEDS_A_TEST))
def test_fault_seeds_hold_by_the_thousand(first: int) -> None:
    assert failures(range(first, min(first + SEEDS_A_TEST, SEEDS))) == []


def test_fault_seeds_are_the_same_again() -> None:
    assert random_scenario(3) == random_scenario(3)
    assert random_scenario(3) != random_scenario(4)
    assert check_seed(3) == check_seed(3)
