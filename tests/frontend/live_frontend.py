"""A real frontend server on a loop of its own, before a backend that really computes.

The backend speaks the real frames on loopback: ``adder`` adds two FP32 tensors, ``upper`` turns
BYTES into upper case, ``looker`` finds two cars and a dog in every frame and names crops.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import numpy as np

from nexus.core.clock import MonotonicClock
from nexus.core.finding import Finding, Region
from nexus.core.model import EngineKind, Model
from nexus.core.query import Query, Stage
from nexus.core.request import DropReason, ItemResult, Outcome, dropped
from nexus.core.routing import Route, RoutingTable, SessionRoutes
from nexus.core.session import Session
from nexus.core.tensor import (
    DataType,
    Tensor,
    TensorSpec,
    iterate_bytes_elements,
    pack_bytes_elements,
)
from nexus.frontend.server import FrontendServer
from nexus.frontend.settings import FrontendSettings
from nexus.rpc.address import Address
from nexus.rpc.connection import Callbacks, FrameConnection, FrameServer, serve_frames
from nexus.rpc.frames import Cancel, Infer, Message, Reply
from nexus.store.cluster import ClusterStore
from nexus.store.memory import MemoryStore

T = TypeVar("T")

JPEG = b"\xff\xd8\xff\xe0 a small frame"
PERSON = Finding("person", 0.5, Region(0, 0, 8, 8))
CARS = (
    Finding("car", 0.9, Region(10, 10, 20, 20)),
    Finding("car", 0.8, Region(40, 10, 20, 20)),
)


def _spec(name: str, datatype: DataType, *shape: int) -> TensorSpec:
    return TensorSpec(name, datatype, shape)


MODELS = (
    Model(
        name="adder",
        engine=EngineKind.EMULATED,
        inputs=(_spec("A", DataType.FP32, -1, 3), _spec("B", DataType.FP32, -1, 3)),
        outputs=(_spec("SUM", DataType.FP32, -1, 3), _spec("DIFFERENCE", DataType.FP32, -1, 3)),
        max_batch=4,
    ),
    Model(
        name="upper",
        engine=EngineKind.EMULATED,
        inputs=(_spec("TEXT", DataType.BYTES, -1, 1),),
        outputs=(_spec("TEXT", DataType.BYTES, -1, 1),),
        max_batch=2,
    ),
    Model(
        name="looker",
        engine=EngineKind.EMULATED,
        inputs=(_spec("image", DataType.BYTES, -1),),
    ),
    Model(name="unused", engine=EngineKind.EMULATED),
    Model(name="hopeless", engine=EngineKind.EMULATED),
)
SESSIONS = (
    Session(model="adder", slo_us=5_000_000),
    Session(model="adder", slo_us=20_000_000),
    Session(model="upper", slo_us=5_000_000),
    Session(model="looker", slo_us=5_000_000),
    Session(model="hopeless", slo_us=1_000_000),
)
STREET = Query(
    name="street",
    slo_us=10_000_000,
    stages=(
        Stage(name="detect", model="looker"),
        Stage(name="classify", model="looker", after=("detect",), each=("car",)),
    ),
)


class ComputingBackend:
    """Answers frames at once, or keeps them while ``held``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = False
        self.received: list[Infer] = []
        self.cancelled: list[int] = []
        self.server: FrameServer | None = None
        self._kept: list[tuple[FrameConnection, Infer]] = []

    async def start(self) -> None:
        self.server = await serve_frames(
            "127.0.0.1", 0, name=self.name, callbacks=Callbacks(on_message=self._on_message)
        )

    def release(self) -> None:
        """Answer what was held, and hold no more."""
        self.held = False
        for connection, message in self._kept:
            connection.send(Reply(message.dispatch.id, compute(message)))
        self._kept.clear()

    def kill(self) -> None:
        """What kill -9 does to the sockets."""
        assert self.server is not None
        self.server.stop_listening()
        for connection in tuple(self.server.connections):
            connection.abort()

    def _on_message(self, connection: FrameConnection, message: Message) -> None:
        if isinstance(message, Cancel):
            self.cancelled.append(message.dispatch_id)
        elif isinstance(message, Infer):
            self.received.append(message)
            if self.held:
                self._kept.append((connection, message))
            else:
                connection.send(Reply(message.dispatch.id, compute(message)))


def compute(message: Infer) -> Outcome:
    """What the model of the dispatch's session makes of its tensors."""
    tensors = {tensor.name: tensor for tensor in message.tensors}
    if "A" in tensors:
        a, b = (_floats(tensors[name]) for name in ("A", "B"))
        if np.isnan(a).any():
            return dropped(DropReason.ERROR, "the network raised ValueError: NaN")
        outputs = (_tensor("SUM", a + b), _tensor("DIFFERENCE", a - b))
        return Outcome(tensors=outputs, queue_us=7, execute_us=11, batch=message.dispatch.items)
    if "TEXT" in tensors:
        words = [w.upper() for w in iterate_bytes_elements("TEXT", tensors["TEXT"].content)]
        shape = tensors["TEXT"].shape
        return Outcome(tensors=(Tensor("TEXT", DataType.BYTES, shape, pack_bytes_elements(words)),))
    if message.dispatch.regions:
        return Outcome(
            items=tuple(
                ItemResult((Finding(f"car at {region.x}", 0.7),))
                for region in message.dispatch.regions
            )
        )
    return Outcome(items=(ItemResult((*CARS, PERSON)),) * message.dispatch.items)


def _floats(tensor: Tensor) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.frombuffer(tensor.content, "<f4").reshape(tensor.shape)


def _tensor(name: str, array: "np.ndarray[Any, np.dtype[np.float32]]") -> Tensor:
    return Tensor(name, DataType.FP32, array.shape, array.tobytes())


class LiveFrontend:
    """The server, its store and its backends, on a loop in a thread of their own."""

    def __init__(self, backends: int = 1) -> None:
        self.backends = [ComputingBackend(f"b{index}") for index in range(backends)]
        self.store = MemoryStore(MonotonicClock())
        self.cluster = ClusterStore(self.store)
        self.table_version = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        return self.server.grpc_address

    @property
    def framed_address(self) -> str:
        words = dict(w.partition("=")[::2] for w in self.server.ready_line.split())
        return words["data"]

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run on the servers' loop and wait."""
        return self.begin(coroutine).result(timeout=30)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run on the servers' loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Poll on the servers' loop; fail when it never holds."""

        self.run(_until(condition, timeout_s))

    async def publish_table(self) -> None:
        self.table_version += 1
        table = RoutingTable(version=self.table_version, fence=1, sessions=tuple(self._routes()))
        await self.cluster.publish_table(table, fence=1)

    def _routes(self) -> list[SessionRoutes]:
        routes = tuple(
            Route(
                backend=backend.name,
                address=backend.server.address,
                rate=100.0,
                batch=4,
                duty_cycle_us=20_000,
                latency_us=10_000,
            )
            for backend in self.backends
            if backend.server is not None
        )
        served = [(s.name, s.model, s.slo_us) for s in SESSIONS if s.model != "hopeless"]
        served += [(f"street/{stage.name}", stage.model, 5_000_000) for stage in STREET.stages]
        entries = [
            SessionRoutes(session=name, model=model, slo_us=slo_us, routes=routes)
            for name, model, slo_us in served
        ]
        hopeless = SESSIONS[-1]
        entries.append(
            SessionRoutes(
                session=hopeless.name,
                model="",
                slo_us=0,
                routes=(),
                infeasible="l(1) is 2000 ms on every device",
            )
        )
        return entries

    async def _start(self) -> None:
        for model in MODELS:
            await self.cluster.put_model(model)
        for session in SESSIONS:
            await self.cluster.put_session(session)
        await self.cluster.put_query(STREET)
        for backend in self.backends:
            await backend.start()
        settings = FrontendSettings(
            listen=Address("127.0.0.1", 0),
            metrics_listen=Address("127.0.0.1", 0),
            store="memory://",
            cluster="default",
            name="f0",
            advertise="127.0.0.1",
            data_listen=Address("127.0.0.1", 0),
        )
        self.server = FrontendServer(settings, self.store)
        await self.server.start()
        await self.publish_table()
        await _until(lambda: all(b.server and b.server.connections for b in self.backends))
        await _until(lambda: self.server.serving)

    async def _stop(self) -> None:
        await self.server.drain()
        await self.server.close()
        for backend in self.backends:
            if backend.server is not None:
                await backend.server.close()


async def _until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in the code under test
            await asyncio.sleep(0.005)
