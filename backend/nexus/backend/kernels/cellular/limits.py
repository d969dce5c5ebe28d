"""The limits of one cellular engine; each names the outcome of reaching it."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S

SLOTS_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one engine takes.

    ``slots``: sequences that advance together; more wait.
    ``waiting``: sequences that may wait for their first slot; more end as QUEUE_FULL.
    ``streams``: streams open at once, parked ones included; more end as STREAMS_FULL.
    ``ready_steps``: of one sequence, fed and not executed yet; a feed beyond that is FeedRefused, a
    whole sequence that is longer ends as BACKLOG.
    ``idle_us``: without a feed, a stream ends as IDLE.
    ``join_wait_us``: how long a chunk may last, and so how long one that comes during it waits.
    """

    slots: int
    waiting: int = 1_024
    streams: int = 1_024
    ready_steps: int = 1 << 16
    idle_us: int = 30 * US_PER_S
    join_wait_us: int = 5_000

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on a limit below 1, or more slots than SLOTS_MAX."""
        named = {name: getattr(self, name) for name in self.__slots__}
        for name, value in named.items():
            if value < 1:
                raise InvalidArgumentError(
                    f"cellular batching with {name}={value}: must be at least 1",
                    reason="invalid_limit",
                )
        if self.slots > SLOTS_MAX:
            raise InvalidArgumentError(
                f"cellular batching with {self.slots} slots: at most {SLOTS_MAX}",
                reason="invalid_limit",
            )
