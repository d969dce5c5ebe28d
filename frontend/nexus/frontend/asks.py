"""The asks under way: items that wait for a peer, the owner of their pool, to say where they go.

None waits for long: each has a time limit, after which the frontend decides itself.
"""

import heapq

from nexus.core.names import FrontendName
from nexus.frontend.in_flight import Parcel
from nexus.frontend.limits import ASK_SHARE_OF_TIME, ASK_US_MAX, ASKS_OPEN_MAX


class OpenAsks:
    """Every ask without an answer, by id."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[int, tuple[FrontendName, Parcel]] = {}
        self._timeouts: list[tuple[int, int]] = []
        self._last_id = 0

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether no more may be opened."""
        return len(self._open) >= ASKS_OPEN_MAX

    def open(self, peer: FrontendName, parcel: Parcel, now_us: int) -> int:
        """Wait for the peer's answer; the id is unique within this frontend."""
        if not self._open:
            self._timeouts.clear()
        self._last_id += 1
        self._open[self._last_id] = (peer, parcel)
        asks = parcel.request.asks
        parcel.request.asks = [self._last_id] if asks is None else [*asks, self._last_id]
        parcel.dispatcher.in_flight += parcel.call.items
        left_us = parcel.deadline_us - now_us
        wait_us = min(ASK_US_MAX, int(ASK_SHARE_OF_TIME * max(0, left_us)))
        heapq.heappush(self._timeouts, (now_us + wait_us, self._last_id))
        return self._last_id

    def close(self, ask_id: int) -> Parcel | None:
        """Take the ask out, and return what it was about; None when it was given up before."""
        entry = self._open.pop(ask_id, None)
        if entry is None:
            return None
        _, parcel = entry
        parcel.dispatcher.in_flight -= parcel.call.items
        return parcel

    def of_peers_but(self, peers: tuple[FrontendName, ...]) -> list[int]:
        """Those that wait for a frontend which is not among ``peers``."""
        return [ask_id for ask_id, (peer, _) in self._open.items() if peer not in peers]

    def next_timeout_us(self) -> int:
        """When the next ask is given up; one must be open."""
        while self._timeouts[0][1] not in self._open:
            heapq.heappop(self._timeouts)
        return self._timeouts[0][0]

    def pop_overdue(self, now_us: int) -> Parcel | None:
        """What the next ask to be given up at ``now_us`` was about; the ask is closed."""
        if not self._open or self.next_timeout_us() > now_us:
            return None
        return self.close(heapq.heappop(self._timeouts)[1])
