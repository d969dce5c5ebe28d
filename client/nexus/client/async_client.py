"""``AsyncClient``: requests and queries to a cluster from asyncio code."""

from collections.abc import AsyncIterable, Iterable, Sequence
from types import TracebackType
from typing import Self

from nexus.client import operations
from nexus.client.async_frame_stream import AsyncFrameStream
from nexus.client.connection import settings_for
from nexus.client.frame_window import FrameWindow, Keep
from nexus.client.inputs import Frame, Inputs
from nexus.client.results import InferResult, ModelInfo, ModelMetadata, QueryResult
from nexus.client.retry import RetryPolicy
from nexus.client.transport import AsyncTransport
from nexus.rpc.limits import MESSAGE_BYTES_MAX


class AsyncClient:
    """The twin of ``Client``: the same calls with the same meaning, awaited.

    Create it where an event loop runs. Cancelling a call cancels it on the servers too.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        connections: int = 1,
        retry: RetryPolicy | None = None,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        """As ``Client``."""
        settings = settings_for(addresses, connections, message_bytes_max)
        self._transport = AsyncTransport(settings, retry or RetryPolicy())

    async def infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: str = "",
        slo_ms: float | None = None,
        session: str | None = None,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> InferResult:
        """As ``Client.infer``."""
        operation = operations.infer(
            model, inputs, version=version, slo_ms=slo_ms, session=session, outputs=outputs
        )
        return await self._transport.run(operation, timeout_s)

    async def query(
        self,
        name: str,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        frame_id: int = 0,
        stream_id: str = "",
    ) -> QueryResult:
        """As ``Client.query``."""
        operation = operations.query(name, frame, frame_id=frame_id, stream_id=stream_id)
        return await self._transport.run(operation, timeout_s)

    def stream(
        self,
        name: str,
        frames: Iterable[Frame] | AsyncIterable[Frame],
        *,
        keep: Keep = "newest",
        in_flight: int = 4,
        timeout_s: float | None = None,
        stream_id: str = "",
    ) -> AsyncFrameStream:
        """As ``Client.stream``; ``async for`` gives the results."""

        async def ask(number: int, frame: Frame) -> QueryResult:
            return await self.query(
                name, frame, timeout_s=timeout_s, frame_id=number, stream_id=stream_id
            )

        return AsyncFrameStream(name, frames, FrameWindow(keep=keep, in_flight=in_flight), ask)

    async def models(self, *, timeout_s: float | None = None) -> tuple[ModelInfo, ...]:
        """As ``Client.models``."""
        return await self._transport.run(operations.models(), timeout_s)

    async def metadata(self, model: str, *, timeout_s: float | None = None) -> ModelMetadata:
        """As ``Client.metadata``."""
        return await self._transport.run(operations.metadata(model), timeout_s)

    async def ready(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """As ``Client.ready``."""
        return await self._transport.run(operations.ready(model), timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
