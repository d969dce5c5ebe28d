"""Sessions that are batched together stay together while the plan is gone on from."""

import random
from dataclasses import replace

from nexus.core.device import DeviceSpec
from nexus.core.session import SessionLoad
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.co_batching import groups_of
from nexus.scheduler.hosts import Host
from nexus.scheduler.placement import place
from nexus.scheduler.planner import make_plan
from nexus.scheduler.settings import policy
from tests.scheduler.planning_cases import random_workload

SETTINGS = policy("default-without-pools")


def going_on(kept: Allocation, _: object) -> Allocation:
    return kept


def test_co_batching_groups_are_those_of_the_plan_in_force() -> None:
    workload = random_workload(random.Random(2), 200)
    nodes = make_plan(workload, SETTINGS).nodes
    hosts = [Host(f"b{index:03}", "gpu") for index in range(len(nodes))]
    before = place(nodes, hosts).backends
    rng = random.Random(3)
    drifted = replace(
        workload,
        sessions=tuple(
            SessionLoad(load.session, load.rate * rng.uniform(0.97, 1.03))
            for load in workload.sessions
        ),
        devices=(DeviceSpec(type="gpu", memory_bytes=workload.devices[0].memory_bytes),),
    )
    after = make_plan(drifted, SETTINGS, previous=before, choose=going_on).nodes
    again = place(after, [*hosts, *(Host(f"spare{index}", "gpu") for index in range(9))]).backends
    groups, groups_again = groups_of(before), groups_of(again)
    assert len(set(groups.values())) > 20
    together = {
        frozenset(name for name in groups if groups[name] == group) for group in groups.values()
    }
    together_again = {
        frozenset(name for name in groups_again if groups_again[name] == group)
        for group in groups_again.values()
    }
    assert together == together_again
