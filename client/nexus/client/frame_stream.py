"""A stream of frames through a query, for blocking code: a camera thread in, results out.

Each frame is a call of its own (not one message of a long stream): it has a deadline and a status
of its own, is retried by the same rule as every call, and a frontend that dies takes only its
frames with it.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from nexus.client.frame_window import FrameWindow, StreamCounts
from nexus.client.inputs import Frame
from nexus.client.results import QueryResult
from nexus.core.errors import NexusError

Ask = Callable[[int, Frame], QueryResult]
"""Send frame number i; raise a NexusError when it is not answered."""


class FrameStream(Iterator[QueryResult]):
    """Iterate for results in frame order. ``close`` it, or use it in a ``with`` block."""

    def __init__(
        self, query: str, frames: Iterable[Frame], window: FrameWindow[Frame, QueryResult], ask: Ask
    ) -> None:
        """Begin to read frames at once."""
        self._query = query
        self._window = window
        self._ask = ask
        self._results: deque[QueryResult] = deque()
        self._failure: BaseException | None = None
        self._stopped = False
        self._changed = threading.Condition()
        # Daemons: a camera that blocks for ever must not keep the program alive.
        feeder = threading.Thread(target=self._run_feeder, args=(frames,), daemon=True)
        senders = [
            threading.Thread(target=self._run_sender, daemon=True) for _ in range(window.in_flight)
        ]
        for thread in (feeder, *senders):
            thread.start()

    @property
    def counts(self) -> StreamCounts:
        """Frames offered, replaced by newer ones, sent and answered so far."""
        with self._changed:
            return self._window.counts

    def __next__(self) -> QueryResult:
        """The next result; raises what the source of frames raised, once all before is out."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._over)
            if self._results:
                return self._results.popleft()
            if self._failure is not None:
                raise self._failure
            raise StopIteration

    def close(self) -> None:
        """Read no more frames and send none; what is in flight ends by its own deadline."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _over(self) -> bool:
        return self._stopped or self._window.done

    def _run_feeder(self, frames: Iterable[Frame]) -> None:
        failure: BaseException | None = None
        try:
            self._feed(frames)
        except BaseException as error:  # noqa: BLE001 - raised again in __next__
            failure = error
        with self._changed:
            self._failure = self._failure or failure
            self._window.closed = True
            self._changed.notify_all()

    def _feed(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            with self._changed:
                self._changed.wait_for(lambda: self._window.wants_frame or self._stopped)
                if self._stopped:
                    return
                self._window.offer(frame)
                self._changed.notify_all()

    def _run_sender(self) -> None:
        try:
            self._send()
        except BaseException as error:  # noqa: BLE001 - raised again in __next__
            with self._changed:
                self._failure = self._failure or error
                self._stopped = True
                self._changed.notify_all()

    def _send(self) -> None:
        while (taken := self._take()) is not None:
            number, frame = taken
            try:
                result = self._ask(number, frame)
            except NexusError as error:
                result = QueryResult(query=self._query, frame_id=number, error=error)
            with self._changed:
                self._results.extend(self._window.answer(number, result))
                self._changed.notify_all()

    def _take(self) -> tuple[int, Frame] | None:
        """The next frame to send, waiting for one; None when there will be none."""
        with self._changed:
            while not self._over:
                if (taken := self._window.take()) is not None:
                    self._changed.notify_all()
                    return taken
                self._changed.wait()
            return None
