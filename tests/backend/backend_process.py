"""A real backend process over a real store, and a frontend's end of the internal hop."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nexus.core.cluster import BackendStatus
from nexus.core.model import EngineKind, Model
from nexus.core.plan import BackendPlan, Placement, Plan
from nexus.core.profile import Profile
from nexus.core.request import Dispatch, Outcome
from nexus.core.tensor import DataType, Tensor, TensorSpec
from nexus.rpc.connection import Callbacks, FrameConnection, connect_frames
from nexus.rpc.frames import BatchStarted, Goodbye, Infer, Message, Replies, Reply
from nexus.store.cluster import ClusterStore

WAIT_S = 15.0


@dataclass
class BackendProcess:
    """``ready`` are the pairs of its ready line."""

    process: asyncio.subprocess.Process
    ready: Mapping[str, str]

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), WAIT_S)


@asynccontextmanager
async def backend_process(
    redis_url: str, cluster: str, *flags: str, name: str = "b0"
) -> AsyncIterator[BackendProcess]:
    """Start ``python -m nexus.backend`` and kill it afterwards if it still runs."""
    ports = (f"{flag}=127.0.0.1:0" for flag in ("--listen", "--data-listen", "--metrics-listen"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nexus.backend", "--store", redis_url, "--cluster", cluster),
        *("--name", name, *ports, *flags),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode()
        assert line.startswith("ready component=backend "), line
        pairs = dict(word.split("=", 1) for word in line.split()[1:])
        yield BackendProcess(process, pairs)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # Let the pipe's transport close before the loop does.
        await process.stdout.read()


@dataclass
class Caller:
    """A frontend's end: sends dispatches and waits for their outcomes."""

    connection: FrameConnection | None = None
    goodbye: asyncio.Event = field(default_factory=asyncio.Event)
    replies: dict[int, asyncio.Future[Outcome]] = field(default_factory=dict)
    together: list[int] = field(default_factory=list)
    started: list[BatchStarted] = field(default_factory=list)

    def send(self, dispatch: Dispatch, *tensors: Tensor, budget_us: int = 1_000_000) -> None:
        """Send a dispatch with so much time left."""
        assert self.connection is not None
        self.replies[dispatch.id] = asyncio.get_running_loop().create_future()
        self.connection.send(Infer(dispatch, budget_us, tensors))

    async def outcome(self, dispatch_id: int) -> Outcome:
        """How a dispatch ended."""
        return await asyncio.wait_for(self.replies[dispatch_id], WAIT_S)

    def _on_message(self, _: FrameConnection, message: Message) -> None:
        match message:
            case Reply(dispatch_id, outcome):
                self.replies[dispatch_id].set_result(outcome)
            case Replies(replies):
                self.together.append(len(replies))
                for reply in replies:
                    self.replies[reply.dispatch_id].set_result(reply.outcome)
            case BatchStarted():
                self.started.append(message)
            case Goodbye():
                self.goodbye.set()


@asynccontextmanager
async def caller(address: str) -> AsyncIterator[Caller]:
    """Connect to a backend's data address."""
    end = Caller()
    callbacks = Callbacks(on_message=end._on_message)
    end.connection = await connect_frames(address, name="f0", callbacks=callbacks)
    try:
        yield end
    finally:
        end.connection.close()
        await end.connection.closed()


def emulated_model(name: str = "toy", **parameters: str) -> Model:
    """Takes an image of any size, gives four numbers."""
    return Model(
        name=name,
        engine=EngineKind.EMULATED,
        inputs=(TensorSpec("image", DataType.UINT8, (-1, -1)),),
        outputs=(TensorSpec("scores", DataType.FP32, (-1, 4)),),
        parameters=parameters,
    )


def profile_of(model: str, device: str, latency_ms: float, max_batch: int = 8) -> Profile:
    """l(b) = latency_ms for every batch."""
    return Profile(model=model, device=device, latencies_us=(round(latency_ms * 1000),) * max_batch)


async def publish(
    store: ClusterStore, version: int, *placements: Placement, backend: str = "b0"
) -> None:
    """A plan of one backend."""
    mine = BackendPlan(
        device="v100",
        duty_cycle_us=100_000,
        occupancy=0.5,
        placements=placements,
        backend=backend,
    )
    await store.publish_plan(Plan(version=version, backends=(mine,)), fence=1)


async def status_when(
    store: ClusterStore, *, loaded: tuple[str, ...], version: int = 0, backend: str = "b0"
) -> BackendStatus:
    """The published status, once it lists these sessions as loaded."""
    async with asyncio.timeout(WAIT_S):
        while True:
            for status in await store.backends():
                known = status.plan_version >= version and status.loaded == loaded
                if status.backend == backend and known:
                    return status
            await asyncio.sleep(0.02)


async def until_gone(store: ClusterStore, within_s: float = 5.0) -> tuple[BackendStatus, ...]:
    """Poll until no backend is reported any more, or the time is up; return what is left."""
    left = await store.backends()
    for _ in range(round(within_s / 0.1)):
        if not left:
            break
        await asyncio.sleep(0.1)
        left = await store.backends()
    return left
