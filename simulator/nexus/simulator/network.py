"""The network between simulated processes: a delay per message, order kept on each link."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus.simulator.world import World


@dataclass(slots=True)
class Network:
    """One-way ``delay_us`` plus up to ``jitter_us``, drawn from ``rng``.

    TCP keeps order, so a message never overtakes an earlier one on the same (from, to) link. A cut
    link loses what is sent on it, as a connection that has died does.
    """

    world: World
    rng: random.Random
    delay_us: int = 0
    jitter_us: int = 0
    cut: set[str] = field(default_factory=set)
    _last_us: dict[tuple[str, str], int] = field(default_factory=dict)

    def send(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        """Deliver after the delay, unless either end is cut off now or then."""
        if source in self.cut or target in self.cut:
            return
        jitter_us = self.rng.randint(0, self.jitter_us) if self.jitter_us else 0
        link = (source, target)
        when_us = max(self.world.now_us + self.delay_us + jitter_us, self._last_us.get(link, 0))
        self._last_us[link] = when_us
        self.world.at(when_us, lambda: None if target in self.cut else deliver())
