"""The framed edge: the same answers as by gRPC, one reply each, whatever the caller does."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from nexus.cli.framed_caller import FramedCaller
from nexus.core.clock import MonotonicClock
from nexus.core.errors import DeadlineError, InvalidArgumentError, UnavailableError
from nexus.core.request import Dispatch, DropReason
from nexus.core.tensor import DataType, Tensor
from nexus.rpc.connection import Callbacks, connect_frames
from nexus.rpc.frames import Cancel, Infer, Message, Reply
from tests.frontend.live_frontend import LiveFrontend

pytestmark = pytest.mark.integration
SESSION = "adder@5000ms"
SLO_US = 5_000_000


@pytest.fixture
def frontend() -> Iterator[LiveFrontend]:
    with LiveFrontend() as live:
        yield live


def tensor(name: str, *values: float) -> Tensor:
    return Tensor(name, DataType.FP32, (1, len(values)), np.array(values, np.float32).tobytes())


ADDITION = (tensor("A", 1, 2, 3), tensor("B", 10, 20, 30))


async def test_framed_service_computes_and_matches_answers_by_id(frontend: LiveFrontend) -> None:
    caller = await FramedCaller.connect(frontend.framed_address, MonotonicClock())
    outcomes = await asyncio.gather(
        *(
            caller.ask(SESSION, SLO_US, (tensor("A", n, n, n), tensor("B", 1, 1, 1)))
            for n in range(20)
        )
    )
    sums = [np.frombuffer(outcome.tensors[0].content, np.float32)[0] for outcome in outcomes]
    assert sums == [n + 1 for n in range(20)]
    await caller.close()


async def test_framed_service_refuses_what_grpc_refuses(frontend: LiveFrontend) -> None:
    caller = await FramedCaller.connect(frontend.framed_address, MonotonicClock())
    with pytest.raises(UnavailableError, match="'nobody@1ms' is not declared"):
        await caller.ask("nobody@1ms", SLO_US, ADDITION)
    with pytest.raises(InvalidArgumentError, match="'A'"):
        await caller.ask(SESSION, SLO_US, (tensor("A", 1), tensor("B", 1)))
    with pytest.raises(DeadlineError):
        await caller.ask(SESSION, 1_000, ADDITION)
    assert (await caller.ask(SESSION, SLO_US, ADDITION)).ok
    await caller.close()


async def test_framed_service_replies_once_to_a_cancelled_and_a_repeated_id(
    frontend: LiveFrontend,
) -> None:
    replies: list[Reply] = []

    def heard(_: object, message: Message) -> None:
        if isinstance(message, Reply):
            replies.append(message)

    frontend.backends[0].held = True
    connection = await connect_frames(
        frontend.framed_address, name="test", callbacks=Callbacks(on_message=heard)
    )
    dispatch = Dispatch(id=7, session=SESSION, deadline_us=SLO_US)
    connection.send(Infer(dispatch, SLO_US, ADDITION))
    connection.send(Infer(dispatch, SLO_US, ADDITION))
    connection.send(Cancel(7))
    async with asyncio.timeout(5):
        while len(replies) < 2:  # noqa: ASYNC110 - what is awaited happens in the code under test
            await asyncio.sleep(0.005)
    assert [reply.outcome.reason for reply in replies] == [
        DropReason.INVALID,
        DropReason.CANCELLED,
    ]
    connection.close()
    await connection.closed()


async def test_framed_service_forgets_a_caller_that_has_gone(frontend: LiveFrontend) -> None:
    frontend.backends[0].held = True
    caller = await FramedCaller.connect(frontend.framed_address, MonotonicClock())
    asked = asyncio.create_task(caller.ask(SESSION, SLO_US, ADDITION))
    await asyncio.to_thread(frontend.wait_until, lambda: frontend.server.in_flight == 1)
    await caller.close()
    with pytest.raises(UnavailableError):
        await asked
    await asyncio.to_thread(frontend.wait_until, lambda: frontend.server.in_flight == 0)
