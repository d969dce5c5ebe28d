"""The life of a cluster's processes while it serves: probes, losses, take-overs, changes, drains.

Each test leaves the shared cluster whole again.
"""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from nexus.cli.ready_line import parse_ready_line
from nexus.client import Client, ControlClient
from nexus.client.retry import RetryPolicy
from nexus.core.cluster import BackendState, ClusterView
from nexus.core.errors import FailedPreconditionError, NexusError
from tests.integration.shared_cluster import SharedCluster, wait_until

pytestmark = pytest.mark.integration

SERVICES = {
    "scheduler": "nexus.v1.ControlService",
    "frontend": "inference.GRPCInferenceService",
    "backend": "nexus.v1.BackendService",
}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ROW = [[1.0, 2.0]]
CALLERS = 4
PAUSE_S = 0.02


class Traffic:
    """Callers that ask ``busy`` again and again, never twice for one answer; and how it ended."""

    def __init__(self, address: str) -> None:
        self.ends: Counter[str] = Counter()
        self._address = address
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._callers = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for caller in self._callers:
            caller.start()
        self.wait_answers(CALLERS)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for caller in self._callers:
            caller.join()

    def wait_answers(self, count: int) -> None:
        """Return after ``count`` more answers."""
        goal = self.ends["answered"] + count
        wait_until(lambda: self.ends["answered"] >= goal, f"{goal} answers, {self.ends}")

    def _call(self) -> None:
        with Client(self._address, retry=RetryPolicy(attempts_max=1)) as client:
            while not self._stop.wait(PAUSE_S):
                try:
                    client.infer("busy", {"x": ROW})
                    end = "answered"
                except NexusError as error:
                    end = f"{error.code.name}: {error.message}"
                with self._lock:
                    self.ends[end] += 1


@pytest.fixture
def traffic(cluster: SharedCluster) -> Iterator[Traffic]:
    """Requests all through the test. None may fail."""
    with Traffic(cluster.frontend) as running:
        yield running
    assert set(running.ends) == {"answered"}, running.ends


@pytest.fixture
def control(cluster: SharedCluster) -> Iterator[ControlClient]:
    with ControlClient(cluster.control) as client:
        yield client


def observed(control: ControlClient) -> ClusterView | None:
    """What the cluster says about itself; None while nobody does."""
    with suppress(NexusError):
        return control.cluster(timeout_s=5)
    return None


def check(address: str, service: str) -> Any:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


def test_cluster_life_every_server_answers_health_checks(cluster: SharedCluster) -> None:
    components = {server.component for server in cluster.servers}
    assert components == SERVICES.keys()
    for server in cluster.servers:
        for service in ("", "alive", SERVICES[server.component]):
            assert check(server.grpc, service) == SERVING, (server.name, service)
        with pytest.raises(grpc.RpcError) as caught:
            check(server.grpc, "no.such.Service")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "'no.such.Service'" in (caught.value.details() or "")


def test_cluster_life_every_server_answers_health_watches(cluster: SharedCluster) -> None:
    for server in cluster.servers:
        with grpc.insecure_channel(server.grpc) as channel:
            request = health_pb2.HealthCheckRequest(service=SERVICES[server.component])
            watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=5)
            assert next(watch).status == SERVING
            watch.cancel()
            request = health_pb2.HealthCheckRequest(service="no.such.Service")
            watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=5)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            watch.cancel()


def test_cluster_life_every_server_describes_itself(cluster: SharedCluster) -> None:
    for server in cluster.servers:
        with grpc.insecure_channel(server.grpc) as channel:
            described = ProtoReflectionDescriptorDatabase(channel)
            services = described.get_services()
            assert {SERVICES[server.component], "grpc.health.v1.Health"} <= set(services)
            for service in services:
                file = described.FindFileContainingSymbol(service)
                assert service.rpartition(".")[2] in {one.name for one in file.service}
            with pytest.raises(KeyError):
                described.FindFileContainingSymbol("no.such.Service")


def test_cluster_life_apply_while_serving_disturbs_nobody(
    traffic: Traffic, control: ControlClient
) -> None:
    before = control.plan()
    control.apply("{kind: Session, model: mlp, slo_ms: 3000, rate: 5}")
    wait_until(lambda: _places(control, "mlp@3000ms") > 0, "mlp@3000ms is routed")
    traffic.wait_answers(20)
    control.delete("session", "mlp@3000ms")
    wait_until(lambda: _places(control, "mlp@3000ms") == 0, "mlp@3000ms is withdrawn")
    traffic.wait_answers(20)
    assert control.plan().epoch > before.epoch


def _places(control: ControlClient, session: str) -> int:
    """On how many backends it is served, local or pooled."""
    table = control.routing_table()
    routes, pool = table.session(session), table.pool_of(session)
    local = {route.backend for route in routes.routes} if routes else set()
    return len(local | {member.backend for member in pool.members} if pool else local)


def test_cluster_life_model_in_use_is_not_deleted(
    cluster: SharedCluster, control: ControlClient
) -> None:
    with pytest.raises(FailedPreconditionError, match=r"'busy' is in use by session busy@1000ms"):
        control.delete("model", "busy")
    ended = cluster.nexus("delete", "model", "detector")
    assert (ended.code, ended.out) == (1, "")
    assert "model 'detector' is in use by query street" in ended.err


def test_cluster_life_drained_backend_loses_nothing(
    cluster: SharedCluster, traffic: Traffic, control: ControlClient
) -> None:
    leaving = cluster.member("v100-0")
    assert _places(control, "busy@1000ms") == 2
    with grpc.insecure_channel(leaving.grpc) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        cluster.send("v100-0", signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        watch.cancel()
    wait_until(lambda: cluster.member("v100-0").pid not in {0, leaving.pid}, "it is started again")
    log = (cluster.directory / "logs" / "v100-0.log").read_text()
    assert "drained" in log
    wait_until(lambda: _places(control, "busy@1000ms") == 2, "two backends serve busy again")
    traffic.wait_answers(20)


def test_cluster_life_serves_without_scheduler_until_it_is_back(
    cluster: SharedCluster, traffic: Traffic, control: ControlClient
) -> None:
    before = control.cluster()
    cluster.kill("scheduler")
    traffic.wait_answers(20)
    cluster.wait_ready()

    def taken_over() -> bool:
        view = observed(control)
        return view is not None and view.leader == "scheduler" and view.fence > before.fence

    wait_until(taken_over, f"a scheduler leads with a fence above {before.fence}")
    traffic.wait_answers(20)
    after = control.cluster()
    assert after.plan_version > before.plan_version
    assert {backend.backend for backend in after.backends} == {
        backend.backend for backend in before.backends
    }


@contextmanager
def standby(cluster: SharedCluster) -> Iterator[str]:
    """A second scheduler; its control service's address."""
    process = subprocess.Popen(
        (
            *(sys.executable, "-m", "nexus.scheduler", "--store", cluster.store_url),
            *("--cluster", "local", "--name", "standby"),
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = parse_ready_line(process.stdout.readline().strip())
        assert ready is not None
        yield ready.grpc
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_cluster_life_standby_takes_over_from_a_scheduler_that_hangs(
    cluster: SharedCluster, traffic: Traffic, control: ControlClient
) -> None:
    before = control.cluster()
    assert before.leader == "scheduler"
    with standby(cluster) as address, ControlClient(address) as other:
        cluster.send("scheduler", signal.SIGSTOP)
        try:
            wait_until(lambda: other.cluster().leader == "standby", "the standby leads")
            wait_until(lambda: other.plan().fence > before.fence, "it has published a plan")
            traffic.wait_answers(20)
        finally:
            cluster.send("scheduler", signal.SIGCONT)
        # The old leader has met the newer fence, or let its lease go: there is only one.
        wait_until(lambda: control.cluster().leader == "", "the old leader has stepped down")
        assert other.cluster().leader == "standby"
        fence = other.plan().fence
    # The standby gave its lease up as it ended.
    wait_until(lambda: control.cluster().leader == "scheduler", "the first scheduler leads again")
    wait_until(lambda: control.plan().fence > fence, "with a greater fence")
    traffic.wait_answers(20)


def test_cluster_life_serves_without_store_until_it_is_back(
    cluster: SharedCluster, traffic: Traffic, control: ControlClient
) -> None:
    before = control.plan()
    cluster.send("store", signal.SIGSTOP)
    try:
        # Longer than reports live in the store, and than a lease.
        until = time.monotonic() + 4
        while time.monotonic() < until:
            traffic.wait_answers(10)
    finally:
        cluster.send("store", signal.SIGCONT)
    cluster.kill("store")
    traffic.wait_answers(20)
    cluster.wait_ready()

    def recovered() -> bool:
        view = observed(control)
        return (
            view is not None
            and view.leader == "scheduler"
            and len(view.frontends) == 1
            and len(view.backends) == 4
            and all(backend.state is BackendState.SERVING for backend in view.backends)
        )

    wait_until(recovered, "all have reported to the store again")
    assert control.plan().version >= before.version
    control.apply("{kind: Session, model: mlp, slo_ms: 4000, rate: 1}")
    wait_until(lambda: _places(control, "mlp@4000ms") > 0, "a new session is routed")
    control.delete("session", "mlp@4000ms")
    wait_until(lambda: _places(control, "mlp@4000ms") == 0, "mlp@4000ms is withdrawn")
    traffic.wait_answers(20)
