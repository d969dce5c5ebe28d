"""A pooled session on real processes: frontends ask its owner, and outlive it."""

import asyncio
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nexus.cli.local_cluster import LocalCluster
from nexus.core.routing import Pool
from nexus.frontend.ownership import ranking
from nexus.store import open_store
from nexus.store.cluster import ClusterStore
from tests.integration.acceptance import Bench, bench, write_scenario

SESSION = "resnet152@250ms"
SCENARIO = """
name: pooled
seed: 5
devices: [{type: v100, count: 4, memory_mb: 16000}]
models:
  - {name: resnet152, profiles: {v100: {alpha_ms: 6, beta_ms: 20, max_batch: 32}}}
sessions:
  - {model: resnet152, slo_ms: 250, rate: 260}
"""
FRONTENDS = ("frontend-0", "frontend-1", "frontend-2")
FLAGS = ("--data-listen", "127.0.0.1:0")
SETTLE_S = 10.0
KILL_AFTER_S = 3.0
LAG_MS_MAX = 5.0
GOOD_MIN = 0.8
STRICT_GOOD_MIN = 0.99
"""The first beside whatever else CI does; the second on a quiet machine (marker full)."""


def pooled_cluster(folder: Path) -> LocalCluster:
    return LocalCluster(
        folder / "cluster",
        devices="emulated:v100:4",
        frontends=len(FRONTENDS),
        frontend_flags=FLAGS,
        restart=False,
    )


async def pool_of(cluster: LocalCluster, session: str) -> Pool:
    """The pool that serves the session, as the published table has it."""
    store = open_store(cluster.addresses.store)
    try:
        table = await ClusterStore(store, cluster.addresses.cluster).table()
    finally:
        await store.close()
    pool = table.pool_of(session)
    assert pool is not None, table
    return pool


def asked(cluster: LocalCluster, frontend: str) -> float:
    """How many asks of others it has granted as the owner of pools."""
    url = f"http://{cluster.addresses.member(frontend).metrics}/metrics"
    with urllib.request.urlopen(url, timeout=5) as page:
        families = text_string_to_metric_families(page.read().decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "nexus_frontend_asks_total" and sample.labels["outcome"] == "ok"
        )


async def pooled_and_loaded(
    cluster: LocalCluster, scenario: Path, seconds: float
) -> tuple[Bench, str]:
    """Load through all frontends; the report, and the name of the frontend that owns the pool."""
    report = await bench(cluster, scenario, factor=1.0, seconds=seconds, warmup=SETTLE_S)
    pool = await pool_of(cluster, SESSION)
    assert len(pool.members) > 1
    owner = ranking(pool.name, FRONTENDS)[0]
    asks = {name: await asyncio.to_thread(asked, cluster, name) for name in FRONTENDS}
    # Two of three requests come to another frontend than the owner.
    assert asks.pop(owner) > report.sessions[0]["offered"] / 2
    assert sum(asks.values()) <= report.sessions[0]["offered"] / 10, asks
    assert report.unanswered == 0
    assert report.sessions[0]["failed"] == 0, report.data
    return report, owner


@pytest.mark.integration
@pytest.mark.timeout(180)
async def test_pooled_cluster_goes_on_without_the_owner(tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path, SCENARIO)
    async with pooled_cluster(tmp_path) as cluster:
        report, owner = await pooled_and_loaded(cluster, scenario, seconds=5)
        assert report.worst_admitted >= GOOD_MIN, report.data
        others = tuple(name for name in FRONTENDS if name != owner)
        during = asyncio.create_task(
            bench(cluster, scenario, factor=0.8, seconds=8, warmup=0, frontends=others)
        )
        await asyncio.sleep(KILL_AFTER_S)
        await cluster.kill(owner)
        report = await during
        heir = ranking((await pool_of(cluster, SESSION)).name, others)[0]
        assert await asyncio.to_thread(asked, cluster, heir) > 0
    assert report.unanswered == 0
    assert report.sessions[0]["failed"] == 0, report.data
    assert report.worst_admitted >= GOOD_MIN, report.data


@pytest.mark.integration
@pytest.mark.full
@pytest.mark.timeout(180)
async def test_pooled_cluster_keeps_its_promise(tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path, SCENARIO)
    async with pooled_cluster(tmp_path) as cluster:
        report, _ = await pooled_and_loaded(cluster, scenario, seconds=20)
    lag_ms = report.data["send_lag_p99_ms"]
    if lag_ms > LAG_MS_MAX:
        pytest.skip(f"this host sends requests {lag_ms:g} ms late: what it counts is its own delay")
    assert report.worst >= STRICT_GOOD_MIN, report.data
