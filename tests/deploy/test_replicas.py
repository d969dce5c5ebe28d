"""The replica decision: grow at once, shrink late, never from under a plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S
from nexus.deploy.replicas import (
    SHRINK_HOLD_US,
    BackendSet,
    ReplicaDecision,
    Wanted,
    decide_replicas,
    remember,
    used_ordinals,
)

HOLD_US = 300 * US_PER_S


def one_set(**changes: int) -> BackendSet:
    fields = {"replicas": 2, "replicas_min": 1, "replicas_max": 8} | changes
    return BackendSet(name="b", device="v100", **fields)


def test_decide_replicas_grows_at_once() -> None:
    decision = decide_replicas([one_set()], {"v100": 5}, now_us=0)
    assert decision.replicas == {"b": 5}


def test_decide_replicas_shrinks_only_when_the_peak_is_older_than_the_hold() -> None:
    decision = ReplicaDecision(replicas={})
    seen = []
    for at_s, wanted in [(0, 5), (100, 2), (200, 3), (299, 2), (300, 2), (499, 2), (500, 2)]:
        decision = decide_replicas(
            [one_set()],
            {"v100": wanted},
            now_us=at_s * US_PER_S,
            history=decision.history,
            hold_us=HOLD_US,
        )
        seen.append(decision.replicas["b"])
    assert seen == [5, 5, 5, 5, 3, 3, 2]


def test_decide_replicas_keeps_every_ordinal_up_to_the_highest_in_use() -> None:
    decision = decide_replicas(
        [one_set(replicas=6)], {"v100": 1}, now_us=0, in_use=["b-0", "b-3", "other-5"]
    )
    assert decision.replicas == {"b": 4}


def test_decide_replicas_ignores_pods_that_the_set_does_not_have() -> None:
    decision = decide_replicas([one_set(replicas=2)], {"v100": 1}, now_us=0, in_use=["b-7"])
    assert decision.replicas == {"b": 1}


def test_decide_replicas_lets_the_operators_limit_win_over_use() -> None:
    decision = decide_replicas(
        [one_set(replicas=6, replicas_max=2)], {"v100": 6}, now_us=0, in_use=["b-5"]
    )
    assert decision.replicas == {"b": 2}
    assert decision.unmet == {"v100": 4}


def test_decide_replicas_keeps_the_minimum_for_a_type_that_is_not_wanted() -> None:
    assert decide_replicas([one_set()], {}, now_us=0).replicas == {"b": 1}


def test_decide_replicas_reports_a_type_that_no_set_provides() -> None:
    decision = decide_replicas([one_set()], {"h100": 3}, now_us=0)
    assert decision.unmet == {"h100": 3}


def test_decide_replicas_fills_the_sets_of_a_type_in_the_order_of_their_names() -> None:
    sets = [
        BackendSet(name="pool-b", device="v100", replicas=0, replicas_min=1, replicas_max=9),
        BackendSet(name="pool-a", device="v100", replicas=0, replicas_max=3),
    ]
    decision = decide_replicas(sets, {"v100": 6}, now_us=0)
    assert decision.replicas == {"pool-a": 3, "pool-b": 3}


@pytest.mark.parametrize(("low", "high"), [(-1, 4), (5, 4)])
def test_backend_set_refuses_limits_that_contradict(low: int, high: int) -> None:
    with pytest.raises(InvalidArgumentError, match="min <= max"):
        one_set(replicas_min=low, replicas_max=high)


def test_used_ordinals_reads_only_pods_of_the_set() -> None:
    names = ["b-10", "b-2", "b-x", "b-", "bb-1", "a-b-1", "b-2-3"]
    assert used_ordinals("b", names) == [2, 10]


steps = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12)), min_size=1, max_size=40)


@given(steps)
def test_remember_holds_the_peak_of_the_window_and_no_more_than_it_needs(
    gaps: list[tuple[int, int]],
) -> None:
    everything: list[Wanted] = []
    past: tuple[Wanted, ...] = ()
    now_us = 0
    for gap_us, devices in gaps:
        now_us += gap_us
        everything.append(Wanted(now_us, devices))
        past = remember(past, everything[-1], hold_us=500)
        window = [wanted.devices for wanted in everything if wanted.at_us > now_us - 500]
        assert past[0].devices == max(window)
        assert len(past) <= 13


backend_sets = st.lists(
    st.tuples(st.sampled_from(["cpu", "v100"]), st.integers(0, 6), st.integers(0, 6)),
    max_size=5,
).map(
    lambda rows: [
        BackendSet(
            name=f"s{n}", device=device, replicas=low, replicas_min=low, replicas_max=low + room
        )
        for n, (device, low, room) in enumerate(rows)
    ]
)


@given(backend_sets, st.dictionaries(st.sampled_from(["cpu", "v100"]), st.integers(0, 20)))
def test_decide_replicas_keeps_limits_and_accounts_for_every_device(
    sets: list[BackendSet], devices: dict[str, int]
) -> None:
    decision = decide_replicas(sets, devices, now_us=0, hold_us=SHRINK_HOLD_US)
    for one in sets:
        assert one.replicas_min <= decision.replicas[one.name] <= one.replicas_max
    for device, wanted in devices.items():
        given_now = sum(decision.replicas[one.name] for one in sets if one.device == device)
        least = sum(one.replicas_min for one in sets if one.device == device)
        assert given_now == max(least, wanted - decision.unmet.get(device, 0))
