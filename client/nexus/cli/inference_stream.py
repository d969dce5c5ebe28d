"""Many requests over one ModelStreamInfer call: about half of what as many calls cost both sides.

Answers come as they finish and are matched by id. A stream carries no status for one request, so
the reason of a refusal is read from the parameters beside its error message.
"""

import asyncio
from typing import Any

import grpc
import grpc.aio

from nexus.core.errors import InternalError, NexusError, UnavailableError
from nexus.core.request import DropReason, Outcome
from nexus.inference import open_inference_pb2 as inference
from nexus.rpc.status import error_from_outcome, error_from_rpc


class InferenceStream:
    """One stream; begin it where the event loop runs, and ``close`` it."""

    def __init__(self, call: Any) -> None:
        """``call`` is what the aio stub's ModelStreamInfer() returned."""
        self._call = call
        self._sent = 0
        self._unsent: asyncio.Queue[inference.ModelInferRequest] = asyncio.Queue()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._broken: NexusError | None = None
        self._loops = [
            asyncio.create_task(self._guarded(loop)) for loop in (self._write(), self._read())
        ]

    async def ask(self, request: inference.ModelInferRequest) -> None:
        """Send a copy under an id of its own; return when answered, raise as a call would."""
        if self._broken is not None:
            raise self._broken
        self._sent += 1
        own = inference.ModelInferRequest()
        own.CopyFrom(request)
        own.id = str(self._sent)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[own.id] = answered
        self._unsent.put_nowait(own)
        await answered

    async def close(self) -> None:
        """Give up what is unanswered and end the call."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._call.cancel()

    async def _write(self) -> None:
        while True:
            await self._call.write(await self._unsent.get())

    async def _read(self) -> None:
        async for response in self._call:
            answered = self._waiting.pop(response.infer_response.id, None)
            if answered is None or answered.done():
                continue
            if response.error_message:
                answered.set_exception(stream_error(response))
            else:
                answered.set_result(None)
        raise UnavailableError("the server ended the stream", reason="stream_ended")

    async def _guarded(self, loop: Any) -> None:
        try:
            await loop
        except (grpc.RpcError, asyncio.InvalidStateError, NexusError) as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        if self._broken is None:
            if isinstance(error, grpc.RpcError):
                self._broken = error_from_rpc(error)
            else:
                self._broken = UnavailableError(f"the stream broke: {error}", reason="stream_ended")
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            if not answered.done():
                answered.set_exception(self._broken)


def stream_error(response: inference.ModelStreamInferResponse) -> NexusError:
    """The error that a unary call would have raised for this answer."""
    parameters = response.infer_response.parameters
    word = parameters["nexus_reason"].string_param if "nexus_reason" in parameters else ""
    try:
        reason = DropReason(word)
    except ValueError:
        return InternalError(response.error_message, reason=word)
    return error_from_outcome(Outcome(reason=reason, message=response.error_message))
