"""A stream of frames through a query, for asyncio; ``frame_stream`` says how it works."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

from nexus.client.frame_window import FrameWindow, StreamCounts
from nexus.client.inputs import Frame
from nexus.client.results import QueryResult
from nexus.core.errors import NexusError

AsyncAsk = Callable[[int, Frame], Awaitable[QueryResult]]


class AsyncFrameStream(AsyncIterator[QueryResult]):
    """``async for`` gives results in frame order. ``aclose`` it, or use ``async with``."""

    def __init__(
        self,
        query: str,
        frames: Iterable[Frame] | AsyncIterable[Frame],
        window: FrameWindow[Frame, QueryResult],
        ask: AsyncAsk,
    ) -> None:
        """Begin to read frames at once; a plain iterable is read in a thread, as it may block."""
        self._query = query
        self._window = window
        self._ask = ask
        self._results: deque[QueryResult] = deque()
        self._failure: Exception | None = None
        self._stopped = False
        self._changed = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._run_feeder(_iterate(frames)))]
        self._tasks += [asyncio.create_task(self._run_sender()) for _ in range(window.in_flight)]

    @property
    def counts(self) -> StreamCounts:
        """Frames offered, replaced by newer ones, sent and answered so far."""
        return self._window.counts

    async def __anext__(self) -> QueryResult:
        """The next result; raises what the source of frames raised, once all before is out."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._results or self._over)
        if self._results:
            return self._results.popleft()
        await self.aclose()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Read no more frames and cancel what is in flight."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def _over(self) -> bool:
        return self._stopped or self._window.done

    async def _run_feeder(self, frames: AsyncIterator[Frame]) -> None:
        failure: Exception | None = None
        try:
            await self._feed(frames)
        except Exception as error:  # noqa: BLE001 - raised again in __anext__
            failure = error
        async with self._changed:
            self._failure = self._failure or failure
            self._window.closed = True
            self._changed.notify_all()

    async def _feed(self, frames: AsyncIterator[Frame]) -> None:
        async for frame in frames:
            async with self._changed:
                await self._changed.wait_for(lambda: self._window.wants_frame)
                self._window.offer(frame)
                self._changed.notify_all()

    async def _run_sender(self) -> None:
        try:
            await self._send()
        except Exception as error:  # noqa: BLE001 - raised again in __anext__
            async with self._changed:
                self._failure = self._failure or error
                self._stopped = True
                self._changed.notify_all()

    async def _send(self) -> None:
        while (taken := await self._take()) is not None:
            number, frame = taken
            try:
                result = await self._ask(number, frame)
            except NexusError as error:
                result = QueryResult(query=self._query, frame_id=number, error=error)
            async with self._changed:
                self._results.extend(self._window.answer(number, result))
                self._changed.notify_all()

    async def _take(self) -> tuple[int, Frame] | None:
        """The next frame to send, waiting for one; None when there will be none."""
        async with self._changed:
            while not self._over:
                if (taken := self._window.take()) is not None:
                    self._changed.notify_all()
                    return taken
                await self._changed.wait()
            return None


_END = object()


async def _iterate(frames: Iterable[Frame] | AsyncIterable[Frame]) -> AsyncIterator[Frame]:
    if isinstance(frames, AsyncIterable):
        async for frame in frames:
            yield frame
        return
    iterator = iter(frames)
    while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
        yield item  # type: ignore[misc] # the sentinel is gone
