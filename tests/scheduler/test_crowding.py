"""A fleet too small for every SLO still serves every session, and says what it cannot promise."""

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile
from nexus.core.session import Session, SessionLoad
from nexus.scheduler.planner import Planned, Workload, make_plan
from nexus.scheduler.settings import policy

NAMES = ("a", "b", "c")
PROFILES = {
    name: Profile(model=name, device="cpu", latencies_us=(40_000, 70_000), memory_bytes=100)
    for name in NAMES
}
SESSIONS = tuple(SessionLoad(Session(model=name, slo_us=100_000), 1.0) for name in NAMES)


def planned(devices: int, memory_bytes: int = 0) -> Planned:
    spec = DeviceSpec(type="cpu", count=devices, memory_bytes=memory_bytes)
    workload = Workload(
        devices=(spec,),
        profile=lambda model, _: PROFILES.get(model),
        sessions=SESSIONS,
        batch_caps=dict.fromkeys(NAMES, 2),
    )
    return make_plan(workload, policy("default-without-pools"))


def placed(plan: Planned) -> list[str]:
    return sorted(demand.name for node in plan.nodes for demand in node.demands)


def test_crowding_places_sessions_whose_slos_cannot_share_a_device() -> None:
    plan = planned(devices=1)
    assert placed(plan) == ["a@100ms", "b@100ms", "c@100ms"]
    assert plan.unplaced == ()
    assert len(plan.unmet) >= 2, "what is not promised is reported"
    (node,) = plan.nodes
    assert node.execute_us <= node.duty_cycle_us, "the work of a cycle still fits the cycle"


def test_crowding_is_not_needed_where_there_are_devices() -> None:
    plan = planned(devices=3)
    assert (len(plan.nodes), plan.unmet) == (3, {})
    for node in plan.nodes:
        latency_us = node.demands[0].profile.latency_us(node.batches[0])
        assert node.duty_cycle_us + latency_us <= node.demands[0].budget_us


def test_crowding_leaves_out_what_no_device_has_the_memory_for() -> None:
    plan = planned(devices=1, memory_bytes=200)
    assert len(placed(plan)) == 2
    assert len(plan.unplaced) == 1
    assert plan.unplaced[0].name in {load.session.name for load in SESSIONS}
