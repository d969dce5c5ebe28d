"""Planning: how long one plan takes, and how close packing comes to the fewest devices.

Times are of this machine; sixty sessions or stages must take less than 200 ms. The optimum is the
exact solver of the tests.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from nexus.core.device import DeviceSpec
from nexus.scheduler.packing import pack_device
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import parse_scenario, read_scenario
from tests.scheduler.planning_cases import fewest_devices, random_residues

SIXTY_SESSIONS = Path(__file__).parents[1] / "examples" / "scenarios" / "sixty-sessions.yaml"
POLICIES = ("nexus", "default")
QUERIES = 15
QUERY_STAGES = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Print times of planning sixty sessions, and packing against the optimum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--problems", type=int, default=150)
    given = parser.parse_args(arguments)
    scenarios = {
        "60 sessions": read_scenario(SIXTY_SESSIONS),
        f"{QUERIES} queries of {QUERY_STAGES} stages": sixty_stages(),
        "60 sessions on 6 of 11 devices": too_few_devices(read_scenario(SIXTY_SESSIONS), 6),
    }
    for title, scenario in scenarios.items():
        for policy in POLICIES:
            median_ms, worst_ms, devices = plan_times_ms(scenario, policy, given.rounds)
            print(
                f"{title:32} {policy:8} {median_ms:6.1f} ms median, {worst_ms:6.1f} ms worst "
                f"{devices} devices"
            )
    for search in (False, True):
        excess, optimal = optimality(given.problems, search=search)
        name = "searching duty cycles" if search else "the paper's merge"
        print(f"9 sessions, {name}: {excess:+.2%} devices, optimal in {optimal:.0%}")


def plan_times_ms(scenario: Scenario, policy: str, rounds: int) -> tuple[float, float, int]:
    """Median and worst time of a plan, and the devices it needs."""
    times_ms = []
    devices = 0
    for _ in range(rounds):
        started = time.perf_counter()
        plan = plan_scenario(scenario, policy).plan
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


def optimality(problems: int, *, search: bool) -> tuple[float, float]:
    """Excess over the fewest devices, and the share of problems solved optimally."""
    rng = random.Random(1)  # noqa: S311 - reproducible
    found = best = optimal = 0
    for _ in range(problems):
        residues = random_residues(rng, 9)
        devices = len(pack_device(residues, DeviceSpec(type="gpu"), search=search, divide=False))
        fewest = fewest_devices(residues)
        found, best, optimal = found + devices, best + fewest, optimal + (devices == fewest)
    return found / best - 1, optimal / problems


if __name__ == "__main__":
    main()
