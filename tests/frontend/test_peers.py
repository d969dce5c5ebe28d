"""Frontends as processes that share a pool: one owns it, and when it is killed the other does."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from nexus.core.clock import MonotonicClock
from nexus.core.cluster import FrontendReport
from nexus.core.errors import UnavailableError
from nexus.core.plan import BackendPlan, Placement, Plan
from nexus.core.request import Dispatch, Outcome
from nexus.core.routing import Pool, PooledSession, PoolMember, RoutingTable, SessionRoutes
from nexus.core.session import Session
from nexus.core.tensor import DataType, Tensor
from nexus.frontend import events
from nexus.frontend.ownership import ranking
from nexus.frontend.peers import Peers
from nexus.rpc.frames import Ask, Granted
from nexus.store import open_store
from nexus.store.cluster import ClusterStore
from tests.backend.backend_process import (
    WAIT_S,
    Caller,
    backend_process,
    caller,
    emulated_model,
    profile_of,
    status_when,
)

pytestmark = pytest.mark.integration

SLO_US = 2_000_000
BATCH = 4
SESSION = f"toy@{SLO_US // 1_000}ms"
IMAGE = Tensor("image", DataType.UINT8, (1, 3), b"abc")
CLUSTER = "peers"
OWNER, OTHER = ranking("p", ("f0", "f1"))


class Ears:
    """A frontend's peers, and what they told the engine."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[events.Event] = []
        self.peers = Peers(name, MonotonicClock(), self.heard.append)

    @property
    def report(self) -> FrontendReport:
        address = f"127.0.0.1:{self.peers.port}"
        return FrontendReport(
            frontend=self.name, incarnation=1, address="", at_us=0, peer_address=address
        )

    async def hear(self, event: events.Event) -> None:
        async with asyncio.timeout(WAIT_S):
            while event not in self.heard:  # noqa: ASYNC110 - it happens in the code under test
                await asyncio.sleep(0.005)


@asynccontextmanager
async def peers_of_two() -> AsyncIterator[tuple[Ears, Ears]]:
    both = (Ears("f0"), Ears("f1"))
    for ears in both:
        await ears.peers.start("127.0.0.1", 0)
    reports = [ears.report for ears in both]
    for ears in both:
        ears.peers.follow(reports)
        await ears.hear(events.PeersChanged(ears.name, ("f0", "f1")))
    yield both
    for ears in both:
        await ears.peers.close()


async def test_peers_ask_and_are_answered_with_the_time_left() -> None:
    async with peers_of_two() as (f0, f1):
        clock = MonotonicClock()
        f0.peers.ask("f1", Ask(7, "s", 3, 50_000))
        async with asyncio.timeout(WAIT_S):
            while not isinstance(f1.heard[-1], events.Asked):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        asked = f1.heard[-1]
        assert isinstance(asked, events.Asked)
        assert (asked.peer, asked.ask_id, asked.session, asked.items) == ("f0", 7, "s", 3)
        assert asked.deadline_us <= clock.now_us() + 50_000
        f1.peers.answer("f0", Granted(7, "b1"))
        await f0.hear(events.AskAnswered(7, "b1"))
        f1.peers.answer("nobody", Granted(8, "b1"))  # Gone meanwhile: dropped.


async def test_peers_that_close_are_gone_and_cannot_be_asked() -> None:
    async with peers_of_two() as (f0, f1):
        await f1.peers.close()
        await f0.hear(events.PeersChanged("f0", ("f0",)))
        with pytest.raises(UnavailableError, match="f1"):
            f0.peers.ask("f1", Ask(1, "s", 1, 1))
        f0.peers.follow([f0.report])
        with pytest.raises(UnavailableError, match="no connection to frontend 'f1'"):
            f0.peers.ask("f1", Ask(1, "s", 1, 1))


@dataclass
class FrontendProcess:
    """A process, and a caller at its framed edge."""

    process: asyncio.subprocess.Process
    caller: Caller


@asynccontextmanager
async def frontend_process(redis_url: str, name: str) -> AsyncIterator[FrontendProcess]:
    ports = (f"{flag}=127.0.0.1:0" for flag in ("--listen", "--data-listen", "--metrics-listen"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nexus.frontend", "--store", redis_url, "--cluster", CLUSTER),
        *("--name", name, *ports),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode()
        pairs = dict(word.split("=", 1) for word in line.split()[1:])
        async with caller(pairs["data"]) as end:
            yield FrontendProcess(process, end)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await process.stdout.read()


async def plan(cluster: ClusterStore) -> None:
    """The session in a pool of two emulated backends, loaded and routed."""
    await cluster.put_model(emulated_model())
    await cluster.put_session(Session(model="toy", slo_us=SLO_US))
    await cluster.put_profile(profile_of("toy", "v100", 20.0))
    placement = Placement(
        session=SESSION,
        model="toy",
        slo_us=SLO_US,
        batch=BATCH,
        rate=100.0,
        latency_us=20_000,
        pool="p",
    )
    backends = tuple(
        BackendPlan(
            device="v100",
            duty_cycle_us=20_000,
            occupancy=0.5,
            placements=(placement,),
            backend=name,
        )
        for name in ("b0", "b1")
    )
    await cluster.publish_plan(Plan(version=1, backends=backends), fence=1)
    statuses = [
        await status_when(cluster, loaded=(SESSION,), backend=name) for name in ("b0", "b1")
    ]
    pooled = PooledSession(
        session=SESSION, slo_us=SLO_US, batch=BATCH, rate=200.0, latencies_us=(20_000,) * 8
    )
    members = tuple(PoolMember(backend=s.backend, address=s.address) for s in statuses)
    entry = SessionRoutes(
        session=SESSION, model="toy", slo_us=SLO_US, routes=(), pool="p", pool_rate=200.0
    )
    pool = Pool(name="p", device="v100", sessions=(pooled,), members=members)
    table = RoutingTable(version=1, fence=1, sessions=(entry,), pools=(pool,))
    await cluster.publish_table(table, fence=1)


async def ask_all(*ends: Caller, first: int, each: int) -> list[Outcome]:
    """Send ``each`` requests to every frontend at once, numbered from ``first``."""
    numbers = range(first, first + each)
    for end in ends:
        for number in numbers:
            dispatch = Dispatch(id=number, session=SESSION, deadline_us=0)
            end.send(dispatch, IMAGE, budget_us=SLO_US)
    return [await end.outcome(number) for end in ends for number in numbers]


async def until_shared(ends: tuple[Caller, Caller]) -> None:
    """Ask until two requests of each frontend make one full batch: one of them decides."""
    async with asyncio.timeout(2 * WAIT_S):
        for first in range(1_000, 1_000_000, 10):
            outcomes = await ask_all(*ends, first=first, each=BATCH // 2)
            if all(outcome.batch == BATCH for outcome in outcomes):
                return
            await asyncio.sleep(0.1)


async def test_peers_share_batches_and_outlive_the_owner(redis_url: str) -> None:
    store = open_store(redis_url)
    cluster = ClusterStore(store, CLUSTER)
    # A part of a batch waits for its last moment, and this host may be busy with other things then.
    emulated = ("--device", "emulated:v100", "--reply-ms=500")
    async with (
        backend_process(redis_url, CLUSTER, *emulated, name="b0"),
        backend_process(redis_url, CLUSTER, *emulated, name="b1"),
        frontend_process(redis_url, OWNER) as owner,
        frontend_process(redis_url, OTHER) as other,
    ):
        await plan(cluster)
        await until_shared((owner.caller, other.caller))
        # The owner dies while it is asked: whatever it had not answered is decided elsewhere.
        asking = asyncio.create_task(ask_all(other.caller, first=1, each=10))
        await asyncio.sleep(0)
        owner.process.send_signal(signal.SIGKILL)
        outcomes = await asking
        assert [outcome.message for outcome in outcomes if not outcome.ok] == []
        # The heir fills batches as the owner did.
        outcomes = await ask_all(other.caller, first=20, each=4 * BATCH)
        assert [outcome.message for outcome in outcomes if not outcome.ok] == []
        assert sum(outcome.batch == BATCH for outcome in outcomes) >= BATCH
    await store.close()
