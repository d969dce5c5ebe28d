"""The health probe against a real gRPC server."""

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from nexus.deploy import probe

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("loading", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_probe_succeeds_on_a_server_that_serves(address: str) -> None:
    assert probe.main([address]) == 0


def test_probe_fails_on_a_service_that_is_not_ready(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main([address, "--service", "loading"]) == 1
    assert capsys.readouterr().err == f"{address} loading: NOT_SERVING\n"


def test_probe_fails_on_a_service_that_is_unknown(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main([address, "--service", "nonsense"]) == 1
    assert "nonsense: NOT_FOUND" in capsys.readouterr().err


def test_probe_fails_where_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(["127.0.0.1:9"]) == 1
    assert "127.0.0.1:9 (server): UNAVAILABLE" in capsys.readouterr().err
