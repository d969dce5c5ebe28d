"""Streams of frames over real gRPC: newest kept, order kept, errors in their place."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from nexus.client import AsyncClient, AsyncFrameStream, Client, FrameStream, QueryResult
from nexus.client.frame_window import FrameWindow, StreamCounts
from nexus.client.inputs import Frame
from nexus.core.errors import NotFoundError, RefusedError
from tests.client.fake_servers import Fake, answer

SOURCE_ERROR = "the camera broke"


class Gate:
    """Holds the server's answers back until the test opens it."""

    def __init__(self, fake: Fake) -> None:
        self.open = asyncio.Event()
        fake.on_query = self.answer

    async def answer(self, request: Any) -> Any:
        await self.open.wait()
        return answer(request, label=request.frame.decode())


async def test_async_stream_keeps_the_newest_frame_while_the_window_is_full(fake: Fake) -> None:
    gate = Gate(fake)

    async def camera() -> AsyncIterator[bytes]:
        yield b"a"
        while len(fake.seen) < 1:  # noqa: ASYNC110 - until the server has the first frame
            await asyncio.sleep(0.001)
        for frame in (b"b", b"c", b"d"):
            yield frame
        gate.open.set()

    async with (
        AsyncClient(fake.address) as client,
        client.stream("traffic", camera(), in_flight=1) as stream,
    ):
        results = [result async for result in stream]
        counts = stream.counts
    assert [(r.frame_id, r.findings("detect")[0].label) for r in results] == [(0, "a"), (3, "d")]
    assert counts == StreamCounts(offered=4, replaced=2, sent=2, answered=2)


async def test_async_stream_keep_all_makes_the_source_wait(fake: Fake) -> None:
    taken: list[int] = []
    asked_at: list[int] = []

    def file() -> Iterator[bytes]:
        for number in range(6):
            taken.append(number)
            yield b"%d" % number

    async def note(request: Any) -> Any:
        asked_at.append(len(taken) - request.frame_id)
        return answer(request)

    fake.on_query = note
    async with AsyncClient(fake.address) as client:
        stream = client.stream("traffic", file(), keep="all", in_flight=1)
        results = [result.frame_id async for result in stream]
    assert results == list(range(6))
    assert stream.counts == StreamCounts(offered=6, replaced=0, sent=6, answered=6)
    assert max(asked_at) <= 3, "one in flight, one waiting, one in the source's hand"


async def test_async_stream_answers_in_frame_order_with_errors_in_their_place(fake: Fake) -> None:
    last_is_asked = asyncio.Event()

    async def out_of_order(request: Any) -> Any:
        if request.frame_id == 2:
            last_is_asked.set()
        await last_is_asked.wait()
        if request.frame_id == 1:
            raise RefusedError("no room")
        return answer(request)

    fake.on_query = out_of_order
    async with AsyncClient(fake.address) as client:
        stream = client.stream("traffic", [b"a", b"b", b"c"], keep="all", in_flight=3)
        results = [result async for result in stream]
    assert [result.frame_id for result in results] == [0, 1, 2]
    assert [result.ok for result in results] == [True, False, True]
    with pytest.raises(RefusedError):
        results[1].raise_for_error()


async def test_async_stream_ends_with_the_error_of_its_source(fake: Fake) -> None:
    async def camera() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError(SOURCE_ERROR)

    async with AsyncClient(fake.address) as client:
        stream = client.stream("traffic", camera(), keep="all")
        assert (await anext(stream)).frame_id == 0
        with pytest.raises(ValueError, match=SOURCE_ERROR):
            await anext(stream)


async def test_async_stream_closed_early_cancels_what_is_in_flight(fake: Fake) -> None:
    Gate(fake)
    async with AsyncClient(fake.address) as client:
        async with client.stream("traffic", [b"a", b"b"], keep="all", in_flight=2):
            async with asyncio.timeout(5):
                while len(fake.seen) < 2:  # noqa: ASYNC110 - until the server has both
                    await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            while fake.cancelled < 2:  # noqa: ASYNC110 - the server notices by itself
                await asyncio.sleep(0.001)


def test_stream_keeps_the_newest_frame_while_the_window_is_full(fake_in_thread: Fake) -> None:
    fake = fake_in_thread
    first_asked, release = threading.Event(), threading.Event()

    async def hold(request: Any) -> Any:
        first_asked.set()
        await asyncio.to_thread(release.wait, 10)
        return answer(request, label=request.frame.decode())

    def camera() -> Iterator[bytes]:
        yield b"a"
        assert first_asked.wait(10)
        yield from (b"b", b"c", b"d")
        release.set()

    fake.on_query = hold
    with Client(fake.address) as client:
        stream = client.stream("traffic", camera(), in_flight=1)
        results = [(r.frame_id, r.findings("detect")[0].label) for r in stream]
    assert results == [(0, "a"), (3, "d")]
    assert stream.counts == StreamCounts(offered=4, replaced=2, sent=2, answered=2)


def test_stream_answers_every_frame_of_a_file_in_order(fake_in_thread: Fake) -> None:
    frames: list[Frame] = [b"a", "no/such/file.jpg", b"c", b"d"]
    with Client(fake_in_thread.address) as client:
        results = list(client.stream("traffic", frames, keep="all", in_flight=3))
    assert [result.frame_id for result in results] == [0, 1, 2, 3]
    assert [result.ok for result in results] == [True, False, True, True]
    assert isinstance(results[1].error, NotFoundError)


def test_stream_ends_with_the_error_of_its_source(fake_in_thread: Fake) -> None:
    def camera() -> Iterator[bytes]:
        yield b"a"
        raise ValueError(SOURCE_ERROR)

    with Client(fake_in_thread.address) as client:
        stream = client.stream("traffic", camera(), keep="all")
        assert next(stream).frame_id == 0
        with pytest.raises(ValueError, match=SOURCE_ERROR):
            next(stream)


def test_stream_raises_a_defect_of_ours_instead_of_hanging() -> None:
    def ask(number: int, frame: Frame) -> QueryResult:
        raise ZeroDivisionError(number, frame)

    with pytest.raises(ZeroDivisionError):
        next(FrameStream("traffic", [b"a"], FrameWindow(), ask))


async def test_async_stream_raises_a_defect_of_ours_instead_of_hanging() -> None:
    async def ask(number: int, frame: Frame) -> QueryResult:
        raise ZeroDivisionError(number, frame)

    with pytest.raises(ZeroDivisionError):
        await anext(AsyncFrameStream("traffic", [b"a"], FrameWindow(), ask))


def test_stream_closed_early_ends(fake_in_thread: Fake) -> None:
    with (
        Client(fake_in_thread.address) as client,
        client.stream("traffic", iter(lambda: b"frame", None), keep="all") as stream,
    ):
        assert next(stream).ok
        stream.close()
        assert len(list(stream)) <= 256
