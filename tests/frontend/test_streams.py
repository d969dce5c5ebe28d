"""Streams: answers as they finish, bounded, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from nexus.frontend.streams import answered_as_finished


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_streams_answer_in_the_order_of_finishing() -> None:
    first_may_end = asyncio.Event()

    async def answer(number: int) -> int:
        if number == 0:
            await first_may_end.wait()
        return number

    got = []
    async for number in answered_as_finished(numbers(3), answer, 4):
        got.append(number)
        if number == 2:
            first_may_end.set()
    assert got == [1, 2, 0]


async def test_streams_hold_back_or_refuse_beyond_the_limit() -> None:
    under_way = most = 0

    async def answer(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return number

    held = [n async for n in answered_as_finished(numbers(9), answer, 2)]
    assert sorted(held) == list(range(9))
    assert most <= 2
    refused = [n async for n in answered_as_finished(numbers(5), answer, 2, lambda n: -n)]
    assert len(refused) == 5
    assert any(number < 0 for number in refused)


async def test_streams_error_ends_the_stream_as_itself() -> None:
    async def answer(number: int) -> int:
        if number == 1:
            raise ValueError("boom")
        return number

    with pytest.raises(ValueError, match="boom"):
        async for _ in answered_as_finished(numbers(5), answer, 1):
            pass


async def test_streams_closed_early_cancel_what_is_under_way() -> None:
    cancelled: list[int] = []

    async def answer(number: int) -> int:
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    stream = answered_as_finished(numbers(3), answer, 3)
    assert await anext(stream) == 0
    await asyncio.sleep(0)
    assert isinstance(stream, AsyncIterator)
    await stream.aclose()  # type: ignore[attr-defined]
    assert sorted(cancelled) == [1, 2]
