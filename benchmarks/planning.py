"""Planning: how long a plan takes, how that grows, how close packing comes to the fewest devices.

Times are CPU time of this machine, with a plain loop timed beside them to compare machines by.
Sixty sessions or stages must take less than 200 ms; ten thousand sessions less than 2 s, and going
on from a plan of them less than 0.5 s. The exact optimum and the exhaustive packing are those of
the tests.
"""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nexus.core.cluster import BackendStatus
from nexus.core.device import DeviceSpec
from nexus.core.plan import BackendPlan
from nexus.core.session import SessionLoad
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.hosts import Host, hosts_of
from nexus.scheduler.hysteresis import Fresh, cheaper, loading_us
from nexus.scheduler.packing import pack_device
from nexus.scheduler.placement import Placed, place
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.planner import make_plan
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import parse_scenario, read_scenario
from nexus.scheduler.settings import EpochSettings, PlannerSettings, policy
from tests.scheduler.exhaustive_packing import packed_exhaustively
from tests.scheduler.planning_cases import fewest_devices, random_residues, random_workload

T = TypeVar("T")

SIXTY_SESSIONS = Path(__file__).parents[1] / "examples" / "scenarios" / "sixty-sessions.yaml"
POLICIES = ("nexus", "default")
PACKINGS = (
    ("the paper's packing", False, False),
    ("both orders", True, False),
    ("both orders, residues divided", True, True),
)
"""Name, whether both orders are tried, whether sessions are divided (the optimum divides none)."""
DRIFT = 0.05
REPLACED_SHARE = 0.002
QUERIES = 15
QUERY_STAGES = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Print times of planning sixty sessions, and packing against the optimum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--problems", type=int, default=150)
    parser.add_argument("--compared", type=int, nargs="*", default=[300])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 100, 10_000, 100_000])
    given = parser.parse_args(arguments)
    scenarios = {
        "60 sessions": read_scenario(SIXTY_SESSIONS),
        f"{QUERIES} queries of {QUERY_STAGES} stages": sixty_stages(),
        "60 sessions on 6 of 11 devices": too_few_devices(read_scenario(SIXTY_SESSIONS), 6),
    }
    for title, scenario in scenarios.items():
        for name in POLICIES:
            median_ms, worst_ms, devices = plan_times_ms(scenario, name, given.rounds)
            print(
                f"{title:32} {name:8} {median_ms:6.1f} ms median, {worst_ms:6.1f} ms worst "
                f"{devices} devices"
            )
    for name, search, divide in PACKINGS:
        excess, optimal = optimality(given.problems, search=search, divide=divide)
        print(f"9 sessions, {name}: {excess:+.2%} devices, as few or fewer in {optimal:.0%}")
    compare_exhaustive(given.compared)
    print(f"a loop of a million additions takes {reference_s() * 1e3:.0f} ms")
    for name in POLICIES:
        growth(name, given.sizes)


def plan_times_ms(scenario: Scenario, name: str, rounds: int) -> tuple[float, float, int]:
    """Median and worst time of a plan, and the devices it needs."""
    times_ms = []
    devices = 0
    for _ in range(rounds):
        started = time.perf_counter()
        plan = plan_scenario(scenario, name).plan
        times_ms.append((time.perf_counter() - started) * 1e3)
        devices = sum(plan.devices_needed.values())
    return statistics.median(times_ms), max(times_ms), devices


def too_few_devices(scenario: Scenario, count: int) -> Scenario:
    """The same load squeezed: the slowest kind of plan."""
    text = SIXTY_SESSIONS.read_text()
    assert "{type: v100," in text, scenario.name
    return parse_scenario(text.replace("{type: v100,", f"{{type: v100, count: {count},"))


def sixty_stages() -> Scenario:
    """Queries of a detector, two branches and a join: every split and every stage is planned."""
    lines = [
        "name: queries",
        "devices: [{type: v100}]",
        "models:",
        "  - {name: detector, profiles: {v100: {alpha_ms: 2.59, beta_ms: 14.9}}}",
        "  - {name: classifier, profiles: {v100: {alpha_ms: 0.25, beta_ms: 8.41}}}",
        "  - {name: embedder, profiles: {v100: {alpha_ms: 0.75, beta_ms: 7.96}}}",
        "queries:",
    ]
    for index in range(QUERIES):
        lines += [
            f"  - name: q{index}",
            f"    slo_ms: {300 + 20 * index}",
            f"    rate: {5 + 3 * index}",
            "    stages:",
            "      - {name: detect, model: detector}",
            "      - {name: car, model: classifier, after: detect, fan_out: 2.5}",
            "      - {name: face, model: embedder, after: detect, fan_out: 0.7}",
            "      - {name: fuse, model: classifier, after: [car, face], per: frame}",
        ]
    return parse_scenario("\n".join(lines))


def optimality(problems: int, *, search: bool, divide: bool) -> tuple[float, float]:
    """Excess over the fewest devices without dividing, and how often no more are used."""
    rng = random.Random(1)  # noqa: S311 - reproducible
    device = DeviceSpec(type="gpu")
    found = best = optimal = 0
    for _ in range(problems):
        residues = random_residues(rng, 9)
        devices = len(pack_device(residues, device, search=search, divide=divide))
        fewest = fewest_devices(residues)
        found, best, optimal = found + devices, best + fewest, optimal + (devices <= fewest)
    return found / best - 1, optimal / problems


def compare_exhaustive(sizes: Sequence[int]) -> None:
    """Packing against trying every node at every duty cycle, as it was done before."""
    device = DeviceSpec(type="gpu")
    for count in sizes:
        residues = random_residues(random.Random(count), count)  # noqa: S311 - reproducible
        quick_s, quick = timed(lambda: pack_device(residues, device, search=True, divide=False))  # noqa: B023
        slow_s, slow = timed(lambda: packed_exhaustively(residues, device))  # noqa: B023
        print(
            f"{count} residues: {len(quick)} devices in {quick_s * 1e3:.0f} ms; exhaustively "
            f"{len(slow)} in {slow_s * 1e3:.0f} ms, {slow_s / quick_s:.0f} times as long"
        )


def growth(policy_name: str, sizes: Sequence[int]) -> None:
    """Times of a full plan and of going on from it, and how the cost of a session grows.

    Ratios are to the first size.
    """
    print(f"{policy_name}: sessions  devices   full ms  us/session  ratio   next ms  ratio  moved")
    basis: tuple[float, float] | None = None
    for count in sizes:
        full_s, next_s, devices, moved = plan_twice(policy(policy_name), count)
        basis = basis or (full_s / count, next_s / count)
        print(
            f"{policy_name:>8} {count:>8} {devices:>8} {full_s * 1e3:>9.0f} "
            f"{full_s / count * 1e6:>11.1f} {full_s / count / basis[0]:>6.2f} "
            f"{next_s * 1e3:>9.0f} {next_s / count / basis[1]:>6.2f} {moved:>6.1%}"
        )


def plan_twice(settings: PlannerSettings, count: int) -> tuple[float, float, int, float]:
    """CPU seconds of a full plan, of the next epoch's, the devices, and the share of models moved.

    Between them rates drift by up to 5 %, one session of 500 is replaced, a device is lost.
    """
    rng = random.Random(count)  # noqa: S311 - reproducible
    workload = random_workload(rng, count)
    full_s, planned = timed(lambda: make_plan(workload, settings))
    hosts = [Host(f"b{index:05}", "gpu") for index in range(2 * len(planned.nodes))]
    before = place(planned.nodes, hosts).backends[1:]
    drifted = replace(workload, sessions=drift(rng, workload.sessions))
    reported = statuses(before, hosts[1:])

    def next_epoch() -> Placed:
        loaded = hosts_of(reported, before)

        def choose(kept: Allocation, fresh: Fresh) -> Allocation:
            return cheaper(
                kept,
                fresh,
                lambda taken: place(taken.nodes, loaded).movement_us,
                EpochSettings().epoch_us,
                search=settings.search_packings,
            )

        again = make_plan(drifted, settings, previous=before, choose=choose)
        return place(again.nodes, loaded)

    next_s, placed = timed(next_epoch)
    total_us = loading_us(planned.nodes)
    return full_s, next_s, len(planned.nodes), placed.movement_us / total_us


def drift(rng: random.Random, loads: Sequence[SessionLoad]) -> tuple[SessionLoad, ...]:
    """The loads of the next epoch."""
    drifted = []
    for load in loads:
        session = load.session
        if rng.random() < REPLACED_SHARE:
            session = replace(session, name=f"{session.name}-new")
        drifted.append(SessionLoad(session, load.rate * rng.uniform(1 - DRIFT, 1 + DRIFT)))
    return tuple(drifted)


def statuses(plans: Sequence[BackendPlan], hosts: Sequence[Host]) -> list[BackendStatus]:
    """What the backends report: everything loaded."""
    loaded = {plan.backend: tuple(p.session for p in plan.placements) for plan in plans}
    return [
        BackendStatus(
            backend=host.name,
            incarnation=1,
            address="",
            control_address="",
            device=host.device,
            loaded=loaded.get(host.name, ()),
        )
        for host in hosts
    ]


def reference_s() -> float:
    """A yardstick for the machine, and for what else runs on it."""
    return min(timed(lambda: sum(range(1_000_000)))[0] for _ in range(9))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of a call, and what it returned; garbage of before is not charged to it."""
    gc.collect()
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


if __name__ == "__main__":
    main()
