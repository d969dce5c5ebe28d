"""Simulated against emulated-real: one scenario in virtual time, and as real processes.

The real run is a whole cluster of emulated devices on this machine (``LocalCluster``) under ``nexus
bench``. What the live path costs here is measured first, by a nearly idle cluster of one device:
the median beyond the batch's own time, halved, is ``network.delay_ms`` of the simulation; what the
99th percentile has beyond the median is its ``jitter_ms``. Nothing else is fitted.

Goodput should agree within 5 %, the 99th percentile within 25 %. A machine with other work on it is
noisy in ways that no constant describes; the send lag says how noisy.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nexus.cli.local_cluster import LocalCluster
from nexus.core.units import us_from_ms, us_from_s
from nexus.scheduler.scenario import Network, Scenario
from nexus.scheduler.scenario_file import parse_scenario, read_scenario
from nexus.simulator.simulation import simulate

GOODPUT_TOLERANCE = 0.05
P99_TOLERANCE = 0.25
IDLE = """
name: idle
devices: [{type: v100, count: 1}]
models: [{name: resnet50, profiles: {v100: {alpha_ms: 0.75, beta_ms: 7.96, max_batch: 64}}}]
sessions: [{model: resnet50, slo_ms: 200, rate: 20}]
"""
BUSY = """
name: busy
seed: 3
devices: [{type: v100, count: 4, memory_mb: 16000}]
models:
  - {name: resnet152, profiles: {v100: {alpha_ms: 1.77, beta_ms: 18.98, max_batch: 64}}}
  - {name: densenet201, profiles: {v100: {alpha_ms: 1.12, beta_ms: 32.33, max_batch: 64}}}
  - {name: bert, profiles: {v100: {alpha_ms: 40.98, beta_ms: 5.67, max_batch: 16}}}
sessions:
  - {model: resnet152, slo_ms: 250, rate: 60}
  - {model: densenet201, slo_ms: 300, rate: 60}
  - {model: bert, slo_ms: 500, rate: 14}
"""


@dataclass(frozen=True, slots=True)
class LivePath:
    """What a request costs on this machine beyond what is simulated without a network."""

    delay_us: int
    jitter_us: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both runs; ``tolerance`` is the relative difference that is allowed."""

    name: str
    simulated: float
    real: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """Real over simulated; NaN when nothing was simulated."""
        return self.real / self.simulated if self.simulated else math.nan

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return abs(self.ratio - 1) <= self.tolerance


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-f", "--file", type=Path, help="a scenario (default: three models)")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    text = given.file.read_text() if given.file else BUSY
    scenario = read_scenario(given.file) if given.file else parse_scenario(BUSY)
    path, rows, lag_ms = agree(text, scenario, given.seconds)
    print(f"live path: {path.delay_us} us one way, up to {path.jitter_us} us more")
    print(f"{'':20} {'simulated':>10} {'real':>10} {'real/sim':>9}")
    for row in rows:
        verdict = "agrees" if row.agrees else f"differs by more than {row.tolerance:.0%}"
        print(f"{row.name:20} {row.simulated:10.1f} {row.real:10.1f} {row.ratio:9.2f}  {verdict}")
    print(f"send lag of the generator: p99 {lag_ms:.1f} ms")


def agree(
    text: str, scenario: Scenario, seconds: float
) -> tuple[LivePath, tuple[Compared, ...], float]:
    """Both runs of ``scenario`` (``text`` is its file), and the generator's send lag, p99 in ms."""
    path = measure_live_path(seconds / 2)
    network = Network(delay_us=path.delay_us, jitter_us=path.jitter_us)
    lasting = replace(scenario, duration_us=us_from_s(seconds), network=network)
    simulated = simulate(lasting).as_data()
    real = asyncio.run(_bench(text, scenario, seconds, round_trip_ms=2 * _reserve_ms(path)))
    rows = [Compared("goodput /s", simulated["goodput"], real["goodput"], GOODPUT_TOLERANCE)]
    rows += (
        Compared(f"{ours['session']} p99", ours["p99_ms"], theirs["p99_ms"], P99_TOLERANCE)
        for ours, theirs in zip(simulated["sessions"], real["sessions"], strict=True)
    )
    return path, tuple(rows), real["send_lag_p99_ms"]


def measure_live_path(seconds: float) -> LivePath:
    """The cost of the way there and back on a cluster that has next to nothing to do."""
    idle = parse_scenario(IDLE)
    simulated = simulate(replace(idle, duration_us=us_from_s(seconds))).as_data()["sessions"][0]
    real = asyncio.run(_bench(IDLE, idle, seconds, round_trip_ms=2.0))["sessions"][0]
    median_ms = real["p50_ms"] - simulated["p50_ms"]
    spread_ms = (real["p99_ms"] - real["p50_ms"]) - (simulated["p99_ms"] - simulated["p50_ms"])
    return LivePath(
        delay_us=max(0, us_from_ms(median_ms / 2)), jitter_us=max(0, us_from_ms(spread_ms / 2))
    )


async def _bench(
    text: str, scenario: Scenario, seconds: float, *, round_trip_ms: float
) -> dict[str, Any]:
    """What ``nexus bench`` reports of a cluster made for the scenario."""
    devices = ",".join(f"emulated:{spec.type}:{spec.count}" for spec in scenario.devices)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.yaml"
        file.write_text(text)
        cluster = LocalCluster(
            Path(folder) / "cluster",
            devices=devices,
            frontends=scenario.frontends,
            frontend_flags=("--data-listen", "127.0.0.1:0"),
            scheduler_flags=("--network-ms", str(round_trip_ms)),
        )
        async with cluster:
            framed = [m.data for m in cluster.addresses.members if m.component == "frontend"]
            words = ["bench", "-f", str(file), "--apply", "--json", "--seconds", str(seconds)]
            words += ["--framed", ",".join(framed), "--cluster-dir", str(cluster.directory)]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "nexus.cli.main",
                *words,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
    report: dict[str, Any] = json.loads(out)
    return report


def _reserve_ms(path: LivePath) -> float:
    return (path.delay_us + path.jitter_us) / 1_000


if __name__ == "__main__":
    main()
