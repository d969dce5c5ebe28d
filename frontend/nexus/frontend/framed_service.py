"""Inference over the internal hop's frames, for callers that send thousands of requests a second.

The same requests, admission and answers as by gRPC, at a fraction of its cost: in Python a gRPC
call costs its server several times what a frame does (ADR 0019). Off unless ``--data-listen`` is
given. A dispatch names its session; its time left can only tighten the SLO.
"""

import asyncio
import logging
from functools import partial
from typing import TypeAlias

from nexus.core.errors import NexusError, NotFoundError
from nexus.core.request import DropReason, Outcome, dropped
from nexus.frontend.front_desk import FrontDesk
from nexus.frontend.limits import FRAMED_IN_FLIGHT_MAX
from nexus.frontend.validation import require_inputs
from nexus.rpc.connection import Callbacks, FrameConnection, FrameServer, serve_frames
from nexus.rpc.frames import Cancel, Infer, Message, Reply

_log = logging.getLogger(__name__)
_Key: TypeAlias = tuple[FrameConnection, int]


class FramedService:
    """Answers every Infer with exactly one Reply, as a backend does."""

    def __init__(self, desk: FrontDesk, name: str) -> None:
        """``name`` is how this frontend greets its callers."""
        self._desk = desk
        self._name = name
        self._server: FrameServer | None = None
        self._calls: dict[_Key, asyncio.Task[Outcome]] = {}

    @property
    def address(self) -> str:
        """The bound ``HOST:PORT``; empty when it does not listen."""
        return self._server.address if self._server is not None else ""

    async def start(self, host: str, port: int) -> None:
        """Listen; raise FailedPreconditionError when the address is taken."""
        callbacks = Callbacks(on_message=self._received, on_lost=self._lost)
        self._server = await serve_frames(host, port, name=self._name, callbacks=callbacks)

    async def close(self) -> None:
        """Close every connection; what is under way for them is cancelled."""
        if self._server is not None:
            await self._server.close()

    def _received(self, connection: FrameConnection, message: Message) -> None:
        match message:
            case Infer():
                self._begin(connection, message)
            case Cancel(dispatch_id) if (connection, dispatch_id) in self._calls:
                self._calls[connection, dispatch_id].cancel()
            case _:
                pass

    def _begin(self, connection: FrameConnection, message: Infer) -> None:
        key = (connection, message.dispatch.id)
        refusal = self._refusal(key)
        if refusal is not None:
            self._reply(key, refusal)
            return
        call = asyncio.create_task(self._infer(message))
        self._calls[key] = call
        call.add_done_callback(partial(self._ended, key))

    def _ended(self, key: _Key, call: asyncio.Task[Outcome]) -> None:
        """Reply when the call is over, however it ended: cancelled before it began, too."""
        del self._calls[key]
        if call.cancelled():
            self._reply(key, dropped(DropReason.CANCELLED))
        elif (error := call.exception()) is not None:
            _log.error("framed request failed", exc_info=error)
            self._reply(key, dropped(DropReason.ERROR, "the frontend failed; see its log"))
        else:
            self._reply(key, call.result())

    def _refusal(self, key: _Key) -> Outcome | None:
        if key in self._calls:
            return dropped(DropReason.INVALID, f"dispatch id {key[1]} is in use on this connection")
        if len(self._calls) >= FRAMED_IN_FLIGHT_MAX:
            message = f"{FRAMED_IN_FLIGHT_MAX} framed requests are under way"
            return dropped(DropReason.QUEUE_FULL, message)
        return None

    async def _infer(self, message: Infer) -> Outcome:
        desk, now_us = self._desk, self._desk.driver.now_us()
        try:
            session = desk.sessions.by_name(message.dispatch.session)
            model = desk.model(session.model, "")
            items = require_inputs(model, message.tensors)
        except NotFoundError as error:
            return dropped(DropReason.NO_ROUTE, error.message)
        except NexusError as error:
            return dropped(DropReason.INVALID, error.message)
        deadline_us = now_us + min(session.slo_us, message.budget_us)
        return await desk.infer(model, session, message.tensors, items, deadline_us)

    def _reply(self, key: _Key, outcome: Outcome) -> None:
        connection, dispatch_id = key
        try:
            connection.send(Reply(dispatch_id, outcome))
        except NexusError as error:
            # It went away, or does not read: then it gets no more answers, and learns it at once.
            _log.info("framed caller lost", extra={"peer": str(connection), "error": error.message})
            connection.abort()

    def _lost(self, connection: FrameConnection) -> None:
        for key, call in tuple(self._calls.items()):
            if key[0] is connection:
                call.cancel()
