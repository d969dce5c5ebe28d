"""The network between simulated processes: one lane for each direction between two of them.

What travels over a lane keeps its order, as TCP does. A lost message comes a retransmission time
later and holds up those behind it. A lane that is cut holds what is sent until it is restored, and
then hands it over as TCP would: with the next retransmission.
"""

import random
from collections.abc import Iterable

from nexus.core.units import US_PER_S
from nexus.scheduler import scenario
from nexus.simulator.world import Arguments, Handler, World

_BITS_PER_BYTE = 8
_BITS_PER_MEGABIT = 1_000_000


class Lane:
    """One direction between two processes.

    A ``plain`` lane only delays, by ``delay_us``: order then needs no care. Most simulations live
    on that, so who sends a great deal looks at it instead of calling ``send``.
    """

    __slots__ = ("_free_us", "_held", "_last_us", "_network", "_world", "delay_us", "plain")

    def __init__(self, network: "Network") -> None:
        """Made by ``Network.lane``."""
        self._network = network
        self._world = network.world
        self.delay_us = network.settings.delay_us
        self.plain = network.plain
        self._held: list[tuple[int, Handler, Arguments]] | None = None
        self._free_us = 0
        self._last_us = 0

    def send(self, handler: Handler, *arguments: object) -> None:
        """Call ``handler`` at the other end when the message is there."""
        if self.plain:
            self._world.after(self.delay_us, handler, *arguments)
        else:
            self._carry(0, handler, arguments)

    def send_bytes(self, size: int, handler: Handler, *arguments: object) -> None:
        """Send a message that is large enough for its size to matter."""
        if self.plain:
            self._world.after(self.delay_us, handler, *arguments)
        else:
            self._carry(size, handler, arguments)

    def cut(self) -> None:
        """Let nothing pass from now on; what is on its way arrives."""
        if self._held is None:
            self._held = []
            self.plain = False

    def restore(self) -> None:
        """Let everything pass again: what was held comes with the next retransmission."""
        held, self._held = self._held, None
        for size, handler, arguments in held or ():
            self._carry(size, handler, arguments, self._network.settings.retransmit_us)
        # A message sent now must not overtake those: order needs care until they are there.
        self.plain = self._network.plain and not held

    def _carry(self, size: int, handler: Handler, arguments: Arguments, late_us: int = 0) -> None:
        if self._held is not None:
            self._held.append((size, handler, arguments))
            return
        now_us = self._world.now_us
        sent_us = max(now_us, self._free_us) + self._network.transfer_us(size)
        self._free_us = sent_us
        when_us = sent_us + self.delay_us + self._network.detour_us() + late_us
        self._last_us = max(self._last_us, when_us)
        self._world.at(self._last_us, handler, *arguments)


class Network:
    """All lanes, and the chance that things happen on them."""

    def __init__(self, world: World, settings: scenario.Network, rng: random.Random) -> None:
        """``rng`` decides on jitter, losses and resets."""
        self.world = world
        self.settings = settings
        self.plain = not (settings.jitter_us or settings.loss or settings.transfer_mbps)
        self._rng = rng
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._cut: dict[tuple[str, str], int] = {}

    def lane(self, source: str, target: str) -> Lane:
        """The one lane from ``source`` to ``target``."""
        key = (source, target)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self)
            if key in self._cut:
                lane.cut()
        return lane

    def reaches(self, source: str, target: str) -> bool:
        """Whether messages pass in both directions."""
        return (source, target) not in self._cut

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Part two processes, for each pair, in both directions; partitions may overlap."""
        for source, target in pairs:
            for key in ((source, target), (target, source)):
                self._cut[key] = self._cut.get(key, 0) + 1
                if key in self._lanes:
                    self._lanes[key].cut()

    def restore(self, pairs: Iterable[tuple[str, str]]) -> None:
        """End one partition of each pair."""
        for source, target in pairs:
            for key in ((source, target), (target, source)):
                self._cut[key] -= 1
                if not self._cut[key]:
                    del self._cut[key]
                    if key in self._lanes:
                        self._lanes[key].restore()

    def breaks(self) -> bool:
        """Whether the message about to be sent breaks its connection."""
        return self.settings.reset > 0 and self._rng.random() < self.settings.reset

    def transfer_us(self, size: int) -> int:
        """How long ``size`` bytes occupy a lane."""
        mbps = self.settings.transfer_mbps
        return round(size * _BITS_PER_BYTE * US_PER_S / (mbps * _BITS_PER_MEGABIT)) if mbps else 0

    def detour_us(self) -> int:
        """What a message takes beyond the delay: jitter, and retransmission if it is lost."""
        settings = self.settings
        late_us = self._rng.randint(0, settings.jitter_us) if settings.jitter_us else 0
        while settings.loss and self._rng.random() < settings.loss:
            late_us += settings.retransmit_us
        return late_us
