"""A cellular engine with a device that only takes time, and every rule it must keep, checked."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from nexus.backend.kernels.cellular.chunk_cost import ChunkCost, chunk_cost
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.events import (
    Cancel,
    CellularEvent,
    Chunk,
    ChunkDone,
    Ended,
    EndReason,
    Feed,
    FeedRefused,
    Join,
    Leave,
    Occupy,
    Park,
    RunChunk,
    Tick,
)
from nexus.backend.kernels.cellular.limits import Limits

Key = Hashable


def linear_cost(
    rows_max: int = 32, *, overhead_us: float = 20.0, first_us: float = 10.0, more_us: float = 2.0
) -> ChunkCost:
    """A step takes ``first_us``, and ``more_us`` for each row beyond the first."""
    return chunk_cost(
        {rows: (overhead_us, first_us + more_us * (rows - 1)) for rows in (1, rows_max)}
    )


@dataclass
class Story:
    """One sequence as the world sees it."""

    key: Key
    stream: bool
    fed: int = 0
    done: int = 0
    joined_us: int = 0
    started_us: int | None = None
    ended_us: int = 0
    reason: EndReason | None = None
    parked: bool = False


@dataclass
class World:
    """Moves time, runs chunks for as long as they cost (times ``slowness``), and checks."""

    limits: Limits
    cost: ChunkCost
    slowness: float = 1.0
    now_us: int = 0
    stories: dict[Key, Story] = field(default_factory=dict)
    holders: dict[int, Key] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    refused: int = 0
    told: bool = False

    def __post_init__(self) -> None:
        self.engine = CellularEngine(self.limits, self.cost, eager=not self.told)
        self.chunk: Chunk | None = None
        self.ends_us = 0

    def join(self, key: Key, steps: int | None, deadline_us: int | None = None) -> None:
        self.stories[key] = Story(key, steps is None, steps or 0, joined_us=self.now_us)
        self.tell(Join(key, steps, deadline_us))

    def feed(self, key: Key, steps: int, deadline_us: int | None = None) -> None:
        if self.stories[key].reason is None:
            self.stories[key].fed += steps
        self.tell(Feed(key, steps, deadline_us))

    def leave(self, key: Key) -> None:
        self.tell(Leave(key))

    def cancel(self, key: Key) -> None:
        self.tell(Cancel(key))

    def run_until(self, until_us: int) -> None:
        """Let chunks end and ticks come, in order of time."""
        while True:
            wakeup_us = self.engine.next_wakeup_us()
            chunk_us = self.ends_us if self.chunk else None
            times = [at for at in (wakeup_us, chunk_us) if at is not None]
            if not times or min(times) > until_us:
                break
            self.now_us = max(self.now_us, min(times))
            self.chunk_ends() if chunk_us == min(times) else self.tell(Tick())
        self.now_us = max(self.now_us, until_us)

    def run_out(self) -> None:
        """Until no chunk is asked for any more."""
        while self.chunk:
            self.run_until(self.ends_us)

    def chunk_ends(self, error: str = "") -> None:
        chunk, self.chunk = self.chunk, None
        assert chunk is not None
        if not error:
            for row in chunk.rows:
                self.stories[row.key].done += row.steps
        self.tell(ChunkDone(chunk.id, error))

    def tell(self, event: CellularEvent) -> None:
        for effect in self.engine.handle(event, self.now_us):
            match effect:
                case Occupy(key, slot, resumes):
                    self._occupied(key, slot, resumes=resumes)
                case Park(key, slot):
                    self._parked(key, slot)
                case RunChunk(chunk):
                    self._started(chunk)
                case Ended():
                    self._ended(effect)
                case FeedRefused(key, steps):
                    self.stories[key].fed -= steps
                    self.refused += 1

    def ended(self, reason: EndReason) -> list[Key]:
        return [story.key for story in self.stories.values() if story.reason is reason]

    def _occupied(self, key: Key, slot: int, *, resumes: bool) -> None:
        story = self.stories[key]
        assert slot not in self.holders, "a slot is never shared"
        assert 0 <= slot < self.limits.slots
        assert key not in self.holders.values(), "a sequence has one slot"
        assert story.reason is None
        assert resumes == story.parked == (story.done > 0), "a state is brought back, if there is"
        story.parked = False
        self.holders[slot] = key

    def _parked(self, key: Key, slot: int) -> None:
        assert self.holders.pop(slot) == key
        story = self.stories[key]
        if not self.told:
            assert story.stream
            assert story.fed == story.done, "only who has nothing to execute is parked"
        story.parked = True

    def _started(self, chunk: Chunk) -> None:
        assert self.chunk is None, "one chunk at a time"
        assert chunk.rows
        assert max(row.steps for row in chunk.rows) == chunk.steps or chunk.steps == 1
        assert len({row.slot for row in chunk.rows}) == len(chunk.rows)
        for row in chunk.rows:
            story = self.stories[row.key]
            assert self.holders[row.slot] == row.key, "rows are in their own slots"
            assert story.reason is None, "nothing is executed of what has ended"
            assert row.start == story.done, "every step once, and in order"
            assert row.steps == min(chunk.steps, story.fed - story.done), "no padding"
            story.started_us = self.now_us if story.started_us is None else story.started_us
        self.chunk = chunk
        self.chunks.append(chunk)
        took_us = self.cost.chunk_us(len(chunk.rows), chunk.steps) * self.slowness
        self.ends_us = self.now_us + max(1, round(took_us))
        if not self.told:
            self._nobody_waits_in_vain({row.key for row in chunk.rows})

    def _nobody_waits_in_vain(self, running: Iterable[Key]) -> None:
        """Whoever has steps is in the chunk, unless all the slots are taken by those who are."""
        left_out = [
            story.key
            for story in self.stories.values()
            if story.reason is None and story.fed > story.done and story.key not in set(running)
        ]
        assert not left_out or len(set(running)) == self.limits.slots, left_out

    def _ended(self, ended: Ended) -> None:
        story = self.stories[ended.key]
        assert story.reason is None, "a sequence ends once"
        story.reason, story.ended_us = ended.reason, self.now_us
        held = [slot for slot, key in self.holders.items() if key == ended.key]
        if ended.slot is not None:
            assert held == [ended.slot]
        if ended.reason is EndReason.FINISHED:
            assert story.done == story.fed, "all that was fed was executed"
        for slot in held:
            del self.holders[slot]
