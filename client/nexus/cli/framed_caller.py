"""Requests as frames over one connection to a frontend's ``--data-listen``; for load, mostly.

A frame costs both sides a fraction of a gRPC call, so a load generator that shares the machine with
the cluster takes less of it away.
"""

import asyncio

from nexus.core.clock import Clock
from nexus.core.errors import NexusError, UnavailableError
from nexus.core.request import Dispatch, Outcome
from nexus.core.tensor import Tensor
from nexus.rpc.connection import Callbacks, FrameConnection, connect_frames
from nexus.rpc.frames import Message, Reply, infer_at
from nexus.rpc.status import error_from_outcome


class FramedCaller:
    """One connection; made by ``connect``."""

    def __init__(self, clock: Clock) -> None:
        """Not connected yet."""
        self._clock = clock
        self._connection: FrameConnection | None = None
        self._sent = 0
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}

    @classmethod
    async def connect(cls, address: str, clock: Clock) -> "FramedCaller":
        """Connect to ``HOST:PORT``; raise UnavailableError when nobody answers."""
        caller = cls(clock)
        callbacks = Callbacks(on_message=caller._received, on_lost=caller._lost)
        caller._connection = await connect_frames(address, name="bench", callbacks=callbacks)
        return caller

    async def ask(self, session: str, slo_us: int, tensors: tuple[Tensor, ...]) -> Outcome:
        """Return the outcome of one item; raise the NexusError of one that was not answered."""
        assert self._connection is not None
        self._sent += 1
        now_us = self._clock.now_us()
        dispatch = Dispatch(id=self._sent, session=session, deadline_us=now_us + slo_us)
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[dispatch.id] = answered
        self._connection.send(infer_at(dispatch, tensors, now_us))
        outcome = await answered
        if not outcome.ok:
            raise error_from_outcome(outcome)
        return outcome

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            await self._connection.closed()

    def _received(self, _: FrameConnection, message: Message) -> None:
        if isinstance(message, Reply):
            answered = self._waiting.pop(message.dispatch_id, None)
            if answered is not None and not answered.done():
                answered.set_result(message.outcome)

    def _lost(self, connection: FrameConnection) -> None:
        error: NexusError = connection.error or UnavailableError(
            "the frontend closed the connection"
        )
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            if not answered.done():
                answered.set_exception(error)
