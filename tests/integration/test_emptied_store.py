"""The store loses everything under load: requests go on, and the plan is back at once."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from nexus.cli.local_cluster import LocalCluster
from nexus.client import AsyncControlClient
from nexus.core.routing import RoutingTable
from nexus.store import open_store
from nexus.store.cluster import ClusterStore
from tests.integration.acceptance import bench, write_scenario

FLUSH_AFTER_S = 5.0
LOAD_S = 14.0
BACK_WITHIN_S = 5.0
BACKENDS = 4
GOOD_MIN = 0.9
"""Far below what a quiet machine shows: this runs beside whatever else CI does."""


async def followed_again(state: ClusterStore, before: RoutingTable) -> RoutingTable:
    """The table under a newer fence, once all have reported and the frontend is on it."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            table, backends = await state.table(), await state.backends()
            (*_, frontend) = await state.frontends() or (None,)
            if (
                table.fence > before.fence
                and len(backends) == BACKENDS
                and frontend is not None
                and frontend.table_version == table.version
            ):
                return table
            await asyncio.sleep(0.1)


@pytest.mark.integration
@pytest.mark.timeout(180)
async def test_emptied_store_stops_no_request(tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path)
    async with LocalCluster(tmp_path / "cluster", devices=f"emulated:v100:{BACKENDS}") as cluster:
        await bench(cluster, scenario, factor=0.8, seconds=2, warmup=4)
        store = open_store(cluster.addresses.store)
        state = ClusterStore(store, cluster.addresses.cluster)
        before, catalogue = await state.table(), await state.catalogue()
        assert before.fence > 0
        during = asyncio.create_task(
            bench(cluster, scenario, factor=0.8, seconds=LOAD_S, warmup=0, apply=False)
        )
        await asyncio.sleep(FLUSH_AFTER_S)
        async with Redis.from_url(cluster.addresses.store) as redis:
            await redis.flushall()
        after = await followed_again(state, before)
        report = await during
        # Whoever declares everything again finds the cluster as it was, and can change it.
        async with AsyncControlClient(cluster.addresses.control) as control:
            await control.apply(
                resources=(*catalogue.models, *catalogue.profiles, *catalogue.sessions)
            )
            await control.delete("session", "bert@500ms")
            async with asyncio.timeout(BACK_WITHIN_S):
                while (await state.table()).session("bert@500ms") is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        await store.close()
    assert after.version >= before.version
    assert report.unanswered == 0
    assert sum(entry["failed"] for entry in report.sessions) == 0, report.data
    assert report.worst_admitted >= GOOD_MIN, report.data
