"""Many requests on one stream, answered as they finish."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import TypeVar

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


async def answered_as_finished(
    requests: AsyncIterable[RequestT],
    answer: Callable[[RequestT], Awaitable[ResponseT]],
    in_flight_max: int,
    refuse: Callable[[RequestT], ResponseT] | None = None,
) -> AsyncIterator[ResponseT]:
    """Yield the answer to every request, in the order in which they finish.

    Beyond ``in_flight_max`` under way, further requests are answered by ``refuse``; without it they
    are not read until one has finished, so the caller is held back. Closing the iterator cancels
    what is under way; an error of ``answer`` or of the stream ends it.
    """
    answers: asyncio.Queue[ResponseT | _End] = asyncio.Queue()
    slots = asyncio.Semaphore(in_flight_max)

    async def run(request: RequestT) -> None:
        try:
            answers.put_nowait(await answer(request))
        finally:
            slots.release()

    async def read_all() -> None:
        async with asyncio.TaskGroup() as group:
            async for request in requests:
                if refuse is not None and slots.locked():
                    answers.put_nowait(refuse(request))
                    continue
                await slots.acquire()
                group.create_task(run(request))

    reader = asyncio.create_task(read_all())
    # The reader is done only when every answer is in the queue, so the end comes after them all.
    reader.add_done_callback(lambda _: answers.put_nowait(_End.END))
    try:
        while (response := await answers.get()) is not _End.END:
            yield response
        _raise_first(reader)
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


class _End(Enum):
    END = "end"


def _raise_first(reader: asyncio.Task[None]) -> None:
    """Raise what ended the reader, out of the group that task groups wrap it in."""
    error = reader.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error
