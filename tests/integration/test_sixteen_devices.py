"""The acceptance run: sixteen emulated V100 as real processes, eight models, 1,000 requests/s."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nexus.cli.local_cluster import LocalCluster
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.scenario_file import read_scenario
from tests.integration.acceptance import bench

SCENARIO = Path(__file__).parents[2] / "examples" / "scenarios" / "sixteen-v100.yaml"
DEVICES = 16
LOAD_SHARE = 0.8
GOOD_MIN = 0.99


@pytest.mark.full
@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_cluster_of_sixteen_devices_keeps_every_session(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    scenario = read_scenario(SCENARIO)
    plan = plan_scenario(scenario).plan
    assert not plan.unmet
    assert plan.devices_needed["v100"] <= DEVICES, "the file's rates fit its devices"
    cluster = LocalCluster(
        tmp_path / "cluster",
        devices=f"emulated:v100:{DEVICES}",
        frontends=scenario.frontends,
        # Two cores carry 1,000 requests/s as frames; as gRPC calls they are full before that.
        frontend_flags=("--data-listen", "127.0.0.1:0"),
        scheduler_flags=("--network-ms", str(2 * scenario.network.delay_us / 1_000)),
    )
    async with cluster:
        report = await bench(cluster, SCENARIO, factor=LOAD_SHARE, seconds=60, warmup=10)
    record_property("devices", plan.devices_needed["v100"])
    record_property("lower_bound", plan.lower_bound["v100"])
    record_property("goodput", report.data["goodput"])
    assert report.unanswered == 0
    assert report.data["requests"] > 55_000
    assert report.worst >= GOOD_MIN, report.data
