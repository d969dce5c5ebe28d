"""What each policy decides, driven by hand: times in us, one session with l(b) = 100 b + 400."""

from collections.abc import Sequence

from nexus.core.profile import linear_profile
from nexus.simulator.baselines.central_eager import CentralEager
from nexus.simulator.baselines.clipper import Clipper
from nexus.simulator.baselines.clockwork import Clockwork
from nexus.simulator.baselines.drop_rules import early
from nexus.simulator.baselines.duty_cycle_devices import DutyCycleDevices, Slot
from nexus.simulator.baselines.policy import Drop, Effect, Policy, Preempt, Refuse, Start
from nexus.simulator.baselines.shepherd import (
    Shepherd,
    exit_point_us,
    group_sizes,
    largest_feasible,
)
from nexus.simulator.baselines.situation import Served, Situation
from nexus.simulator.baselines.symphony import Symphony
from nexus.simulator.baselines.tf_serving import ENQUEUED_BATCHES_MAX, TfServing
from tests.baselines.baseline_cases import GPU, item, queue

SLO_US = 2_000


def situation(devices: int = 1, lines: int = 1, slo_us: int = SLO_US) -> Situation:
    profile = linear_profile("m", GPU, 100, 400, 32)
    served = tuple(
        Served(
            name=f"s{line}",
            model="m",
            rate=100.0,
            slo_us=slo_us,
            ingress_us=0,
            egress_us=0,
            profiles={GPU: profile},
            tables={GPU: (0, *profile.latencies_us)},
        )
        for line in range(lines)
    )
    return Situation(served=served, devices=(GPU,) * devices, frontends=1)


def arrive(policy: Policy, *sent_us: int, line: int = 0) -> list[Effect]:
    """Items come, each at its time; all that the policy answers."""
    effects: list[Effect] = []
    for at_us in sent_us:
        effects += policy.arrived(item(at_us + SLO_US, line), at_us)
    return effects


def starts(effects: Sequence[Effect]) -> list[tuple[int, int]]:
    """(device, batch) of every start."""
    return [(e.device, len(e.items)) for e in effects if isinstance(e, Start)]


def only_start(effects: Sequence[Effect]) -> Start:
    (start,) = [effect for effect in effects if isinstance(effect, Start)]
    return start


def test_policy_rules_eager_starts_at_once_on_the_first_idle_device() -> None:
    policy = CentralEager(situation(devices=2))
    assert starts(arrive(policy, 0, 10, 20, 30)) == [(0, 1), (1, 1)]
    start = Start(0, 0, (), 500)
    assert starts(policy.finished(start, 500)) == [(0, 2)]


def test_policy_rules_symphony_waits_until_one_more_could_not_join() -> None:
    policy = Symphony(situation())
    assert arrive(policy, 0, 100) == []
    # With three, the head at 2,000 would be in time until 2,000 - l(3) = 1,300.
    assert policy.next_wakeup_us() == 1_300
    assert starts(policy.woken(1_300)) == [(0, 2)]


def test_policy_rules_symphony_starts_a_batch_that_can_grow_no_more() -> None:
    policy = Symphony(situation())
    effects = arrive(policy, *range(16))
    # l(16) = 2,000 is all the SLO: the sixteenth item comes too late for the head.
    assert starts(effects) == [(0, 15)]


def test_policy_rules_clockwork_runs_full_powers_of_two() -> None:
    policy = Clockwork(situation())
    first = only_start(arrive(policy, 0, 1, 2, 3, 4, 5, 6))
    assert len(first.items) == 1
    assert starts(policy.finished(first, 500)) == [(0, 4)]


def test_policy_rules_clockwork_rejects_whom_no_batch_serves() -> None:
    policy = Clockwork(situation())
    first = only_start(arrive(policy, 0, 1))
    effects = policy.finished(first, 1_600)
    assert [type(effect) for effect in effects] == [Drop]


def test_policy_rules_clockwork_takes_the_most_urgent_model() -> None:
    policy = Clockwork(situation(lines=2))
    first = only_start(arrive(policy, 0))
    arrive(policy, 100, line=1)
    arrive(policy, 200, line=0)
    assert only_start(policy.finished(first, 500)).line == 1


def test_policy_rules_clipper_raises_its_limit_by_one_and_cuts_it_by_a_tenth() -> None:
    policy = Clipper(situation())
    start = only_start(arrive(policy, *range(40)))
    sizes = [len(start.items)]
    now_us = 0
    for took_us in (500, 600, 2_500, 700):
        now_us += took_us
        policy.arrived(item(now_us + 90_000), now_us)
        for _ in range(9):
            policy.arrived(item(now_us + 90_000), now_us)
        start = only_start(policy.finished(start, now_us))
        sizes.append(len(start.items))
    # Limits 1, 2, 3, 2.7 after the batch beyond the SLO, 3.7.
    assert sizes == [1, 2, 3, 2, 3]


def test_policy_rules_clipper_drops_only_what_is_late_already() -> None:
    policy = Clipper(situation())
    start = only_start(arrive(policy, 0, 10, 1_900))
    effects = policy.finished(start, 2_100)
    assert [len(e.items) for e in effects if isinstance(e, Drop)] == [1]
    assert starts(effects) == [(0, 1)]


def test_policy_rules_tf_serving_waits_for_a_full_batch_or_the_timeout() -> None:
    policy = TfServing(situation(slo_us=SLO_US + 300))
    # The largest batch with 2 l(b) <= 2,300 is 7, and 100 us are left.
    for at_us in (0, 10):
        assert policy.arrived(item(at_us + SLO_US + 300), at_us) == ()
    assert policy.next_wakeup_us() == 100
    assert starts(policy.woken(100)) == [(0, 2)]


def test_policy_rules_tf_serving_refuses_beyond_its_queue() -> None:
    policy = TfServing(situation())
    # The largest batch with 2 l(b) <= 2,000 is 6 and leaves no timeout: the first item runs alone.
    effects = arrive(policy, *range(1 + 6 * ENQUEUED_BATCHES_MAX + 5))
    assert starts(effects) == [(0, 1)]
    assert sum(isinstance(effect, Refuse) for effect in effects) == 5


def test_policy_rules_duty_cycle_takes_sessions_in_turn_with_the_planned_batch() -> None:
    slots = [[Slot(0, 3, 100.0), Slot(1, 2, 100.0)]]
    policy = DutyCycleDevices(situation(lines=2, slo_us=90_000), slots, early)
    first = only_start(policy.arrived(item(90_000, 0), 0))
    for line in (0, 0, 0, 0, 1, 1, 1):
        policy.arrived(item(90_000, line), 10)
    second = only_start(policy.finished(first, 500))
    third = only_start(policy.finished(second, 1_100))
    assert [(s.line, len(s.items)) for s in (second, third)] == [(1, 2), (0, 3)]


def test_policy_rules_duty_cycle_joins_the_queue_of_a_prefix_group() -> None:
    served = situation(lines=3, slo_us=90_000)
    policy = DutyCycleDevices(served, [[Slot(2, 4, 100.0)]], early, {0: 2, 1: 2})
    first = only_start(policy.arrived(item(90_000, 0), 0))
    policy.arrived(item(90_000, 0), 1)
    policy.arrived(item(90_000, 1), 2)
    second = only_start(policy.finished(first, 500))
    assert (second.line, [i.line for i in second.items]) == (2, [0, 1])


def test_policy_rules_duty_cycle_drops_what_the_plan_serves_nowhere() -> None:
    policy = DutyCycleDevices(situation(lines=2), [[Slot(0, 3, 100.0)]], early)
    assert isinstance(policy.arrived(item(9_000, 1), 0)[0], Drop)


def test_policy_rules_shepherd_passes_over_heads_for_the_largest_batch() -> None:
    table = (0, *(100 * b + 400 for b in range(1, 33)))
    waiting = queue(550, 900, 900, 900)
    # All four end at 800, too late for the first; three end at 700.
    assert largest_feasible(waiting, table, 0) == (1, 3)
    assert largest_feasible(queue(), table, 0) == (0, 0)


def test_policy_rules_shepherd_preempts_for_a_batch_three_times_as_large() -> None:
    policy = Shepherd(situation(slo_us=90_000))
    first = only_start(policy.arrived(item(90_000), 0))
    effects: list[Effect] = []
    for at_us in (10, 20, 30, 41):
        effects += policy.arrived(item(90_000 + at_us), at_us)
    # Four waiting are more than 3.03 times one; the batch's exit points are 12 us apart.
    (preempt,) = effects
    assert isinstance(preempt, Preempt)
    assert (preempt.start, preempt.free_us) == (first, 48)
    assert policy.next_wakeup_us() == 48
    assert starts(policy.woken(48)) == [(0, 5)]


def test_policy_rules_shepherd_does_not_preempt_for_less() -> None:
    policy = Shepherd(situation(slo_us=90_000))
    assert len(arrive(policy, 0, 10, 20, 30)) == 1


def test_policy_rules_shepherd_groups_are_even_and_at_most_twelve() -> None:
    assert group_sizes(8) == [8]
    assert group_sizes(32) == [11, 11, 10]
    assert exit_point_us(100, 4_000, 350) == 400
    assert exit_point_us(100, 4_000, 300) == 300
