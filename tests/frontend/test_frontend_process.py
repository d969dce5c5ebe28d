"""The frontend as a process: ready line, health, SIGTERM."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nexus.core.model import EngineKind, Model
from nexus.core.routing import RoutingTable
from nexus.frontend.query_service import SERVICE_NAME
from nexus.store import open_store
from nexus.store.cluster import ClusterStore

pytestmark = pytest.mark.integration


async def declare(redis_url: str, cluster: str) -> None:
    store = open_store(redis_url)
    declared = ClusterStore(store, cluster)
    await declared.put_model(Model(name="m", engine=EngineKind.EMULATED))
    await declared.publish_table(RoutingTable(version=1, fence=1), fence=1)
    await store.close()


def test_frontend_process_serves_reports_and_drains(redis_url: str) -> None:
    cluster = "frontend-process"
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--name", "f7"]
    command = [sys.executable, "-m", "nexus.frontend", *flags]
    environment = {**os.environ, "NEXUS_STORE": redis_url, "NEXUS_CLUSTER": cluster}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            line = dict(word.partition("=")[::2] for word in words)
            assert words[0] == "ready"
            assert (line["component"], line["name"]) == ("frontend", "f7")
            with grpc.insecure_channel(line["grpc"]) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
                statuses = (response.status for response in watch)
                assert next(statuses) == health_pb2.HealthCheckResponse.NOT_SERVING
                asyncio.run(declare(redis_url, cluster))
                assert next(statuses) == health_pb2.HealthCheckResponse.SERVING
                with urllib.request.urlopen(f"http://{line['metrics']}/metrics") as scrape:
                    assert b"nexus_frontend_routing_table_version" in scrape.read()
                process.send_signal(signal.SIGTERM)
                assert next(statuses) == health_pb2.HealthCheckResponse.NOT_SERVING
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
