"""Back-pressure for a stream of frames, sans-io: which frame is sent, dropped or answered next.

At most ``in_flight`` frames are unanswered. While the window is full one frame waits; with
``keep="newest"`` a newer frame takes its place (the camera does not wait, and an old frame is worth
nothing), with ``keep="all"`` the source must wait. Answers are handed out in frame order.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from nexus.core.errors import InvalidArgumentError

Keep: TypeAlias = Literal["newest", "all"]
IN_FLIGHT_MAX = 256

FrameT = TypeVar("FrameT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """``offered = replaced + sent`` once the stream has ended, and ``sent = answered``."""

    offered: int = 0
    replaced: int = 0
    sent: int = 0
    answered: int = 0


@dataclass(slots=True)
class FrameWindow(Generic[FrameT, AnswerT]):
    """Frames are numbered by ``offer`` from 0; replaced ones leave gaps in the numbers."""

    keep: Keep = "newest"
    in_flight: int = 4
    closed: bool = False
    """No more frames will come."""
    counts: StreamCounts = StreamCounts()
    _waiting: tuple[int, FrameT] | None = None
    _order: deque[int] = field(default_factory=deque)
    _answers: dict[int, AnswerT] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on settings out of range."""
        if self.keep not in ("newest", "all"):
            raise InvalidArgumentError(f"keep={self.keep!r} is neither 'newest' nor 'all'")
        if not 1 <= self.in_flight <= IN_FLIGHT_MAX:
            raise InvalidArgumentError(f"in_flight={self.in_flight} is not in 1..{IN_FLIGHT_MAX}")

    @property
    def wants_frame(self) -> bool:
        """Whether a frame may be offered now; with ``keep="newest"`` always."""
        return self.keep == "newest" or self._waiting is None

    @property
    def done(self) -> bool:
        """Whether everything that was sent is answered and nothing will be sent any more."""
        return self.closed and self._waiting is None and not self._order

    def offer(self, frame: FrameT) -> None:
        """A frame has come; it replaces the one that waits."""
        assert self.wants_frame, "keep='all': offer only when a frame is wanted"
        replaced = self._waiting is not None
        self._waiting = (self.counts.offered, frame)
        self._count(offered=1, replaced=int(replaced))

    def take(self) -> tuple[int, FrameT] | None:
        """The next frame to send and its number, if one waits and the window has room."""
        if self._waiting is None or len(self._order) >= self.in_flight:
            return None
        taken, self._waiting = self._waiting, None
        self._order.append(taken[0])
        self._count(sent=1)
        return taken

    def answer(self, number: int, answer: AnswerT) -> tuple[AnswerT, ...]:
        """Frame ``number`` is answered; the answers that can be handed out now, in order.

        An answer that must wait for an older frame still holds its place in the window, so the
        number of answers kept here is bounded too.
        """
        assert number in self._order, number
        assert number not in self._answers, number
        self._answers[number] = answer
        ready = []
        while self._order and self._order[0] in self._answers:
            ready.append(self._answers.pop(self._order.popleft()))
        self._count(answered=len(ready))
        return tuple(ready)

    def _count(
        self, *, offered: int = 0, replaced: int = 0, sent: int = 0, answered: int = 0
    ) -> None:
        counts = self.counts
        self.counts = StreamCounts(
            counts.offered + offered,
            counts.replaced + replaced,
            counts.sent + sent,
            counts.answered + answered,
        )
