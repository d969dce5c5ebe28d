"""What every baseline does: all requests answered, no rule broken, the same again by one seed."""

from dataclasses import replace

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Fault, FaultKind, NodeKind, NodeReference, Scenario
from nexus.simulator.baselines import BASELINES, ArrangeSettings, simulate_baseline
from nexus.simulator.simulated_cluster import SimulationSettings
from tests.baselines.baseline_cases import GPU, mixed

EVERY = pytest.mark.parametrize("name", BASELINES)
SETTINGS = SimulationSettings(seed=3, warmup_us=500_000)


@EVERY
def test_policies_answer_everything_and_most_of_it_in_time(name: str) -> None:
    report = simulate_baseline(mixed(), name, SETTINGS)
    assert report.requests > 2_000
    # Clipper's containers share devices, and both of these wait for pre-processing.
    assert report.bad_fraction < (0.4 if name in {"clipper", "tf-serving"} else 0.08), name
    assert 0 < report.devices_used <= 4


@EVERY
def test_policies_survive_twice_what_they_can_do(name: str) -> None:
    report = simulate_baseline(mixed().scaled(5.0), name, SETTINGS)
    assert report.bad_fraction > 0.1
    assert report.devices_used <= 4.0001


@EVERY
def test_policies_repeat_themselves(name: str) -> None:
    scenario = mixed(seconds=1)
    settings = SimulationSettings(seed=5, jitter=0.05)
    first = simulate_baseline(scenario, name, settings)
    assert first == simulate_baseline(scenario, name, settings)


@EVERY
def test_policies_serve_partial_answers(name: str) -> None:
    strict = simulate_baseline(mixed().scaled(3.0), name, SETTINGS)
    partial = simulate_baseline(mixed().scaled(3.0), name, SETTINGS, partial_answers=True)
    assert partial.requests == strict.requests


def test_policies_unknown_ones_are_named() -> None:
    with pytest.raises(InvalidArgumentError, match="nexus-paper"):
        simulate_baseline(mixed(), "best", SETTINGS)


@pytest.mark.parametrize("name", ["symphony", "batch-oblivious"])
def test_policies_for_uniform_devices_say_so(name: str) -> None:
    both = replace(
        mixed(), devices=(DeviceSpec(type=GPU, count=1), DeviceSpec(type="tpu", count=1))
    )
    with pytest.raises(InvalidArgumentError, match="one device type"):
        simulate_baseline(both, name, SETTINGS)


def test_policies_know_no_faults() -> None:
    fault = Fault(at_us=0, kind=FaultKind.KILL, nodes=(NodeReference(NodeKind.BACKEND, 0),))
    with pytest.raises(InvalidArgumentError, match="fault"):
        simulate_baseline(replace(mixed(), faults=(fault,)), "nexus-paper", SETTINGS)


def devices_in_use(scenario: Scenario, *, all_devices: bool) -> int:
    arrange = ArrangeSettings(all_devices=all_devices)
    return len(simulate_baseline(scenario, "nexus-paper", SETTINGS, arrange=arrange).devices)


def test_policies_nexus_uses_the_whole_cluster_or_what_its_plan_needs() -> None:
    scenario = mixed(devices=9, seconds=1)
    assert devices_in_use(scenario, all_devices=True) == 9
    assert devices_in_use(scenario, all_devices=False) < 9


def test_policies_nexus_plans_devices_without_a_count() -> None:
    free = replace(mixed(seconds=1), devices=(DeviceSpec(type=GPU),))
    needed = devices_in_use(free, all_devices=True)
    assert needed == devices_in_use(mixed(devices=9, seconds=1), all_devices=False)


def test_policies_nexus_serves_several_device_types() -> None:
    scenario = mixed()
    slow = tuple(
        replace(
            model,
            profiles={
                **model.profiles,
                "slow": replace(
                    model.profiles[GPU],
                    device="slow",
                    latencies_us=tuple(2 * us for us in model.profiles[GPU].latencies_us),
                ),
            },
        )
        for model in scenario.models
    )
    devices = (DeviceSpec(type=GPU, count=1, price=3.0), DeviceSpec(type="slow", count=8))
    report = simulate_baseline(
        replace(scenario, models=slow, devices=devices), "nexus-paper", SETTINGS
    )
    assert {use.device for use in report.devices} == {GPU, "slow"}
    assert report.bad_fraction < 0.08


def test_policies_duration_must_leave_something_to_count() -> None:
    report = simulate_baseline(
        mixed(seconds=1), "symphony", SimulationSettings(warmup_us=US_PER_S // 2)
    )
    assert report.simulated_us == US_PER_S // 2
