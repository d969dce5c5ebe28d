"""Scenarios on real processes: a cluster of emulated devices, and ``nexus bench`` beside it."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexus.cli.local_cluster import LocalCluster
from nexus.client import AsyncControlClient
from nexus.core.plan import Plan

SCENARIO = """
name: acceptance
seed: 3
devices: [{type: v100, count: 4, memory_mb: 16000}]
models:
  - {name: resnet152, profiles: {v100: {alpha_ms: 1.77, beta_ms: 18.98, max_batch: 64}}}
  - {name: densenet201, profiles: {v100: {alpha_ms: 1.12, beta_ms: 32.33, max_batch: 64}}}
  - {name: bert, profiles: {v100: {alpha_ms: 40.98, beta_ms: 5.67, max_batch: 16}}}
sessions:
  - {model: resnet152, slo_ms: 250, rate: 40}
  - {model: densenet201, slo_ms: 300, rate: 40}
  - {model: bert, slo_ms: 500, rate: 14}
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run of ``nexus bench --json`` reported."""

    data: dict[str, Any]

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The accounts by session."""
        return list(self.data["sessions"])

    @property
    def worst(self) -> float:
        """The least share of its offered requests that a session had in time."""
        return min(float(entry["good"] / entry["offered"]) for entry in self.sessions)

    @property
    def worst_admitted(self) -> float:
        """The same share of what was not refused at the door: what the promise is about."""
        return min(
            float(entry["good"] / (entry["offered"] - entry["dropped"].get("overloaded", 0)))
            for entry in self.sessions
        )

    @property
    def unanswered(self) -> int:
        """Requests that are in no column: neither answered nor refused by name."""
        return sum(
            entry["offered"]
            - entry["good"]
            - entry["late"]
            - entry["failed"]
            - sum(entry["dropped"].values())
            for entry in self.sessions
        )


def write_scenario(folder: Path, text: str = SCENARIO) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


async def bench(
    cluster: LocalCluster,
    scenario: Path,
    *,
    factor: float,
    seconds: float,
    warmup: float,
    frontends: tuple[str, ...] = (),
    apply: bool = True,
) -> Bench:
    """Offer ``factor`` times a scenario's rates, from a process of its own.

    First declare it (``apply``). The load goes to the named frontends, or else to all.
    """
    words = ["bench", "-f", str(scenario), "--json", *(["--apply"] if apply else [])]
    words += ["--rate-factor", str(factor), "--seconds", str(seconds), "--warmup", str(warmup)]
    words += ["--cluster-dir", str(cluster.directory)]
    members = [m for m in cluster.addresses.of("frontend") if not frontends or m.name in frontends]
    words += ["--address", ",".join(member.grpc for member in members)]
    framed = [member.data for member in members if member.data]
    if framed:
        words += ["--framed", ",".join(framed)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nexus.cli.main",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    return Bench(json.loads(out))


async def published_plan(cluster: LocalCluster) -> Plan:
    async with AsyncControlClient(cluster.addresses.control) as control:
        return await control.plan(timeout_s=5)


def planned_rate(plan: Plan, session: str) -> float:
    """Items/s that the plan gives a session, over all backends."""
    placements = (p for backend in plan.backends for p in backend.placements)
    return sum(placement.rate for placement in placements if placement.session == session)
