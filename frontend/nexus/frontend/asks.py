"""The asks under way: items that wait for a peer, the owner of their pool, to say where they go.

None waits for long: each has a time limit, after which the frontend decides itself.
"""

from nexus.core.names import FrontendName
from nexus.frontend.in_flight import Parcel
from nexus.frontend.limits import ASK_SHARE_OF_TIME, ASK_US_MAX, ASKS_OPEN_MAX
from nexus.frontend.timeouts import Timeouts


class OpenAsks:
    """Every ask without an answer, by id; ``timeouts`` says when each is given up."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[int, tuple[FrontendName, Parcel]] = {}
        self.timeouts = Timeouts(self._open)
        self._last_id = 0

    @property
    def full(self) -> bool:
        """Whether no more may be opened."""
        return len(self._open) >= ASKS_OPEN_MAX

    def open(self, peer: FrontendName, parcel: Parcel, now_us: int) -> int:
        """Wait for the peer's answer; the id is unique within this frontend."""
        self._last_id = ask_id = self._last_id + 1
        self._open[ask_id] = (peer, parcel)
        request = parcel.request
        request.asks = (*request.asks, ask_id)
        parcel.dispatcher.in_flight += parcel.call.items
        left_us = parcel.deadline_us - now_us
        wait_us = min(ASK_US_MAX, int(ASK_SHARE_OF_TIME * max(0, left_us)))
        self.timeouts.note(now_us + wait_us, ask_id)
        return ask_id

    def close(self, ask_id: int) -> Parcel | None:
        """Take the ask out, and return what it was about; None when it was given up before."""
        entry = self._open.pop(ask_id, None)
        if entry is None:
            return None
        if not self._open:
            self.timeouts.clear()
        _, parcel = entry
        parcel.dispatcher.in_flight -= parcel.call.items
        return parcel

    def of_peers_but(self, peers: tuple[FrontendName, ...]) -> list[int]:
        """Those that wait for a frontend which is not among ``peers``."""
        return [ask_id for ask_id, (peer, _) in self._open.items() if peer not in peers]

    def pop_overdue(self, now_us: int) -> Parcel | None:
        """What the next ask to be given up at ``now_us`` was about; the ask is closed."""
        ask_id = self.timeouts.pop_overdue(now_us)
        return None if ask_id is None else self.close(ask_id)
