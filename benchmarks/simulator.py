"""The simulator: simulated requests per second of one core's time, every check on.

Three scenarios at about 80 % of what their devices can do: one pooled session, a mix of sessions
on shared devices, a query that fans out. ``--thousand`` runs 1,000 devices for 60 s. ``--profile``
says where the time went, by room. CPU time is judged: it is the wall time of a core with nothing
else to do. The wall time of this machine, shared or not, stands beside it.
"""

import argparse
import cProfile
import pstats
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import parse_scenario
from nexus.simulator.report import SimulationReport
from nexus.simulator.simulation import simulate

HEADER = """
name: {name}
seed: 1
duration_s: {seconds}
devices: [{{type: v100, count: {devices}}}]
network: {{delay_ms: {delay_ms}}}
frontends: {frontends}
models:
  - {{name: resnet50, profiles: {{v100: {{alpha_ms: 0.75, beta_ms: 7.96, max_batch: 128}}}}}}
  - {{name: inception, profiles: {{v100: {{alpha_ms: 0.96, beta_ms: 11.77, max_batch: 128}}}}}}
  - {{name: googlenet, profiles: {{v100: {{alpha_ms: 0.25, beta_ms: 8.41, max_batch: 128}}}}}}
  - {{name: densenet, profiles: {{v100: {{alpha_ms: 0.69, beta_ms: 19.96, max_batch: 128}}}}}}
"""
POOLED = "sessions: [{{model: resnet50, slo_ms: 100, rate: {rate}}}]"
MIXED_SHARES = (
    ("resnet50", 60, 0.3),
    ("resnet50", 150, 0.1),
    ("inception", 100, 0.25),
    ("googlenet", 80, 0.25),
    ("densenet", 200, 0.1),
)
QUERY = """
queries:
  - name: traffic
    slo_ms: 400
    rate: {rate}
    stages:
      - {{name: detect, model: densenet}}
      - {{name: car, model: googlenet, after: detect, fan_out: 2.5}}
      - {{name: face, model: resnet50, after: detect, fan_out: 0.7}}
"""
ROOMS = ("frontend", "backend", "scheduler", "simulator", "core")


def scenarios(seconds: float, frontends: int, delay_ms: float) -> dict[str, Scenario]:
    """The three, by what they are."""
    mixed = "\n".join(
        f"  - {{model: {model}, slo_ms: {slo_ms}, rate: {share * 4800:g}}}"
        for model, slo_ms, share in MIXED_SHARES
    )
    bodies = {
        "pooled": (8, POOLED.format(rate=7600)),
        "mixed": (8, f"sessions:\n{mixed}"),
        "query": (8, QUERY.format(rate=900)),
    }
    return {
        name: parse_scenario(
            HEADER.format(
                name=name,
                seconds=seconds,
                devices=devices,
                frontends=frontends,
                delay_ms=delay_ms,
            )
            + body
        )
        for name, (devices, body) in bodies.items()
    }


def thousand_devices(seconds: float) -> Scenario:
    """Ten sessions of models the size of BERT (40.98 b + 5.67 ms on a V100) fill 1,000 devices."""
    models = "\n".join(
        f"  - {{name: model{i}, max_batch: 32, "
        f"profiles: {{v100: {{alpha_ms: {40 + 2 * i}, beta_ms: {60 + 10 * i}}}}}}}"
        for i in range(10)
    )
    sessions = "\n".join(
        f"  - {{model: model{i}, slo_ms: {2500 + 100 * i}, rate: {1700 - 75 * i}}}"
        for i in range(10)
    )
    return parse_scenario(
        f"name: thousand\nduration_s: {seconds}\ndevices: [{{type: v100, count: 1000}}]\n"
        f"network: {{delay_ms: 0.2}}\nfrontends: 4\nmodels:\n{models}\nsessions:\n{sessions}\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="simulated, of each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frontends", type=int, default=1)
    parser.add_argument("--delay-ms", type=float, default=0.2)
    parser.add_argument("--policy", default="default")
    parser.add_argument("--only", help="one of pooled, mixed, query")
    parser.add_argument("--thousand", action="store_true", help="1,000 devices x 60 s")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    given = parser.parse_args(arguments)
    if given.thousand:
        print(_line("1,000 devices", [timed(thousand_devices(60.0))]))
        return
    for name, declared in scenarios(given.seconds, given.frontends, given.delay_ms).items():
        if given.only not in (None, name):
            continue
        scenario = replace(declared, policy=given.policy)
        if given.profile:
            _profile(name, scenario)
            continue
        print(_line(name, [timed(scenario) for _ in range(given.rounds)]), flush=True)


def timed(scenario: Scenario) -> tuple[SimulationReport, float]:
    """What came of one run, and its CPU time in seconds."""
    started_s = time.process_time()
    report = simulate(scenario)
    return report, time.process_time() - started_s


def _line(name: str, runs: Sequence[tuple[SimulationReport, float]]) -> str:
    speeds = [report.requests / cpu_s for report, cpu_s in runs]
    wall_speeds = [report.requests / report.wall_s for report, _ in runs]
    report = runs[0][0]
    return (
        f"{name:14} {statistics.median(speeds):8.0f} requests/s of CPU time (best "
        f"{max(speeds):.0f}), {statistics.median(wall_speeds):.0f} of wall time, "
        f"{report.requests} requests, {report.events / report.requests:.1f} events each, "
        f"{100 * report.worst:.2f} % good at worst, batch {report.mean_batch():.1f}"
    )


def _profile(name: str, scenario: Scenario) -> None:
    """The share of own time by room, and the costliest functions."""
    profiler = cProfile.Profile()
    profiler.enable()
    simulate(scenario)
    profiler.disable()
    stats = pstats.Stats(profiler)
    stats.sort_stats("tottime").print_stats(28)
    own: dict[str, float] = {}
    entries: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = stats.stats  # type: ignore[attr-defined]
    for (file, _, _), (_, _, own_s, _, _) in entries.items():
        room = next((r for r in ROOMS if f"/nexus/{r}/" in file), "python")
        own[room] = own.get(room, 0.0) + own_s
    total = sum(own.values())
    shares = ", ".join(f"{room} {100 * own_s / total:.0f} %" for room, own_s in sorted(own.items()))
    print(f"{name}: {shares}")


if __name__ == "__main__":
    main()
