"""The controller through the real `kubernetes` client against a small HTTP stub of the API."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nexus.core.clock import VirtualClock
from nexus.core.errors import (
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NexusError,
    NotFoundError,
    UnavailableError,
)
from nexus.deploy.controller import CONFLICT_TRIES, ReplicaController, connect_controller
from nexus.deploy.scale_api import (
    DEVICE_LABEL,
    REPLICAS_MAX_ANNOTATION,
    KubernetesScaleApi,
    ScaleConflictError,
)
from nexus.scheduler.server import ConnectScaler

CONNECT: ConnectScaler = connect_controller
"""What the scheduler's server expects; the type checker compares them."""

kubernetes = pytest.importorskip("kubernetes")

SETS = "/apis/apps/v1/namespaces/nexus/statefulsets"


@dataclass
class ApiServer:
    """State of the stub: replica counts with versions, and the faults to inject."""

    replicas: dict[str, int] = field(default_factory=lambda: {"backend": 1})
    version: int = 1
    conflicts: int = 0
    failure: int = 0
    annotations: dict[str, str] = field(default_factory=lambda: {REPLICAS_MAX_ANNOTATION: "8"})
    calls: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append(f"{method} {path.removeprefix(SETS) or '/'}")
        if self.failure:
            return self.failure, {"kind": "Status", "reason": "Injected"}
        if path == SETS:
            return 200, self._list()
        name = path.removeprefix(f"{SETS}/").removesuffix("/scale")
        if name not in self.replicas:
            return 404, {"kind": "Status", "reason": "NotFound"}
        return self._patch(name, body) if method == "PATCH" else (200, self._scale(name))

    def _patch(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1  # someone else wrote in between
        if body["metadata"]["resourceVersion"] != str(self.version):
            return 409, {"kind": "Status", "reason": "Conflict"}
        self.version += 1
        self.replicas[name] = body["spec"]["replicas"]
        return 200, self._scale(name)

    def _scale(self, name: str) -> dict[str, Any]:
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": name, "resourceVersion": str(self.version)},
            "spec": {"replicas": self.replicas[name]},
            "status": {"replicas": self.replicas[name]},
        }

    def _list(self) -> dict[str, Any]:
        return {
            "kind": "StatefulSetList",
            "apiVersion": "apps/v1",
            "metadata": {},
            "items": [self._stateful_set(name) for name in self.replicas],
        }

    def _stateful_set(self, name: str) -> dict[str, Any]:
        labels = {DEVICE_LABEL: "v100"}
        return {
            "metadata": {"name": name, "labels": labels, "annotations": self.annotations},
            "spec": {
                "replicas": self.replicas[name],
                "serviceName": name,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": []}},
            },
        }


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def address(server: ApiServer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else {}
            status, answer = server.answer(self.command, self.path.partition("?")[0], body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = _serve  # noqa: N815  the names http.server looks for

        def log_message(self, *_: object) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def api(address: str) -> Iterator[KubernetesScaleApi]:
    configuration = kubernetes.client.Configuration(host=address, retries=False)
    with kubernetes.client.ApiClient(configuration) as client:
        yield KubernetesScaleApi(kubernetes.client.AppsV1Api(client), "nexus")


@pytest.fixture
def controller(api: KubernetesScaleApi) -> ReplicaController:
    return ReplicaController(api, clock=VirtualClock())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  the stub runs in threads, and has no event to await
        await asyncio.sleep(0.001)


async def test_controller_sets_the_count_through_the_scale_subresource(
    controller: ReplicaController, server: ApiServer
) -> None:
    await controller.scale({"v100": 3})
    assert server.replicas == {"backend": 3}
    assert server.calls == ["GET /", "GET /backend/scale", "PATCH /backend/scale"]


async def test_controller_writes_nothing_when_the_count_is_right(
    controller: ReplicaController, server: ApiServer
) -> None:
    await controller.scale({"v100": 1})
    assert server.calls == ["GET /"]


async def test_controller_reads_again_after_a_conflict(
    controller: ReplicaController, server: ApiServer
) -> None:
    server.conflicts = CONFLICT_TRIES - 1
    await controller.scale({"v100": 4})
    assert server.replicas == {"backend": 4}


async def test_controller_gives_up_after_bounded_conflicts_and_recovers(
    controller: ReplicaController, server: ApiServer
) -> None:
    server.conflicts = CONFLICT_TRIES
    with pytest.raises(ScaleConflictError, match="scale of StatefulSet 'backend' to 4"):
        await controller.scale({"v100": 4})
    assert server.calls.count("PATCH /backend/scale") == CONFLICT_TRIES
    await controller.scale({"v100": 4})
    assert server.replicas == {"backend": 4}


async def test_controller_keeps_to_the_limit_on_the_set(
    controller: ReplicaController, server: ApiServer
) -> None:
    await controller.scale({"v100": 99})
    assert server.replicas == {"backend": 8}


async def test_controller_never_removes_a_backend_in_use(
    api: KubernetesScaleApi, server: ApiServer
) -> None:
    server.replicas["backend"] = 5
    used = {"backend-2"}
    controller = ReplicaController(api, in_use=lambda: used, clock=VirtualClock())
    await controller.scale({"v100": 1})
    assert server.replicas == {"backend": 3}
    used.clear()
    await controller.reconcile()
    assert server.replicas == {"backend": 1}


async def test_controller_shrinks_in_a_later_round_although_asked_only_once(
    api: KubernetesScaleApi, server: ApiServer
) -> None:
    clock = VirtualClock()
    controller = ReplicaController(api, clock=clock, hold_us=100)
    await controller.scale({"v100": 5})
    clock.advance_to(50)
    await controller.scale({"v100": 2})
    assert server.replicas == {"backend": 5}
    clock.advance_to(100)
    await controller.reconcile()
    assert server.replicas == {"backend": 2}


async def test_controller_does_nothing_before_it_was_asked(
    controller: ReplicaController, server: ApiServer
) -> None:
    await controller.reconcile()
    assert server.calls == []


async def test_controller_follows_through_failures_while_it_leads(
    controller: ReplicaController, server: ApiServer
) -> None:
    server.failure = 503
    with pytest.raises(UnavailableError):
        await controller.scale({"v100": 4})
    following = asyncio.create_task(controller.follow(lambda: True, round_s=0.001))
    await until(lambda: len(server.calls) >= 3)
    server.failure = 0
    await until(lambda: server.replicas == {"backend": 4})
    following.cancel()


async def test_controller_forgets_what_it_asked_for_when_it_no_longer_leads(
    controller: ReplicaController, server: ApiServer
) -> None:
    await controller.scale({"v100": 4})
    rounds = 0

    def leading() -> bool:
        nonlocal rounds
        rounds += 1
        return rounds > 1

    following = asyncio.create_task(controller.follow(leading, round_s=0.001))
    server.replicas["backend"] = 7  # what the new leader wants
    await until(lambda: rounds >= 4)
    following.cancel()
    assert server.replicas == {"backend": 7}


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (403, FailedPreconditionError, "kubernetes_forbidden"),
        (404, NotFoundError, "unknown_stateful_set"),
        (429, UnavailableError, "kubernetes_away"),
        (503, UnavailableError, "kubernetes_away"),
        (400, InternalError, "kubernetes_refused"),
    ],
)
async def test_controller_translates_http_statuses(
    controller: ReplicaController,
    server: ApiServer,
    status: int,
    error: type[NexusError],
    reason: str,
) -> None:
    server.failure = status
    with pytest.raises(error, match=f"HTTP {status}") as caught:
        await controller.scale({"v100": 3})
    assert caught.value.reason == reason


async def test_controller_names_the_annotation_that_is_no_number(
    controller: ReplicaController, server: ApiServer
) -> None:
    server.annotations[REPLICAS_MAX_ANNOTATION] = "many"
    with pytest.raises(InvalidArgumentError, match="replicas-max is 'many'"):
        await controller.scale({"v100": 3})


async def test_controller_refuses_a_negative_count(controller: ReplicaController) -> None:
    with pytest.raises(InvalidArgumentError, match="-1 devices of type 'v100'"):
        await controller.scale({"v100": -1})


async def test_controller_reports_an_api_server_that_is_away() -> None:
    configuration = kubernetes.client.Configuration(host="http://127.0.0.1:9", retries=False)
    with kubernetes.client.ApiClient(configuration) as client:
        api = KubernetesScaleApi(kubernetes.client.AppsV1Api(client), "nexus")
        with pytest.raises(UnavailableError, match="cannot list StatefulSets in 'nexus'"):
            await ReplicaController(api).scale({})
