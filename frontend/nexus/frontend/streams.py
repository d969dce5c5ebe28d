"""Many requests on one stream, answered as they finish."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
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
    answers: asyncio.Queue[ResponseT] = asyncio.Queue()
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
    try:
        async for response in _until_done(answers, reader):
            yield response
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _until_done(
    answers: asyncio.Queue[ResponseT], reader: asyncio.Task[None]
) -> AsyncIterator[ResponseT]:
    while True:
        next_answer = asyncio.ensure_future(answers.get())
        try:
            await asyncio.wait({next_answer, reader}, return_when=asyncio.FIRST_COMPLETED)
            if next_answer.done():
                yield next_answer.result()
                continue
        finally:
            next_answer.cancel()
        while not answers.empty():
            yield answers.get_nowait()
        _raise_first(reader)
        return


def _raise_first(reader: asyncio.Task[None]) -> None:
    """Raise what ended the reader, out of the group that task groups wrap it in."""
    error = reader.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error
