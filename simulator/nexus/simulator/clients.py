"""The clients: every stream of requests of a scenario, each request to a frontend by chance."""

import random
from collections.abc import Iterator, Sequence
from typing import Protocol

from nexus.core.names import FrontendName
from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import arrival_times, arrivals_of
from nexus.simulator.ledger import Ledger
from nexus.simulator.world import World

NOBODY = ""
"""The frontend of a request that found none to connect to."""


class Entrance(Protocol):
    """What clients ask; a frontend, whatever stands behind it."""

    @property
    def name(self) -> FrontendName:
        """The frontend's name."""
        ...

    def submit(self, request_id: int, session: str, deadline_us: int) -> None:
        """A client asks for one session."""
        ...

    def submit_query(self, request_id: int, query: str, deadline_us: int) -> None:
        """A client asks for a query on one frame."""
        ...


class Stream:
    """The requests of one session or query."""

    __slots__ = ("is_query", "name", "slo_us", "times_us", "uniform")

    def __init__(
        self, name: str, slo_us: int, times_us: Iterator[int], rng: random.Random, *, is_query: bool
    ) -> None:
        """``rng`` chooses the frontends."""
        self.name = name
        self.slo_us = slo_us
        self.times_us = times_us
        self.uniform = rng.random
        self.is_query = is_query


class Clients:
    """Open loop: a request comes when it is due, whatever became of those before."""

    def __init__(self, world: World, ledger: Ledger, frontends: Sequence[Entrance]) -> None:
        """``frontends`` are those that live, always."""
        self._world = world
        self._ledger = ledger
        self._at = world.at
        self._sent = ledger.sent
        self._frontends = frontends
        self._from_us = 0
        self._last_id = 0

    def offer(self, scenario: Scenario, from_us: int, seed: int) -> None:
        """Let the requests of every session and query come from ``from_us`` on."""
        self._from_us = from_us
        rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        for stream in _streams(scenario, rng):
            when_us = next(stream.times_us, None)
            if when_us is not None:
                self._world.at(from_us + when_us, self._arrive, stream)

    def _arrive(self, stream: Stream) -> None:
        now_us = self._world.now_us
        self._last_id = request_id = self._last_id + 1
        deadline_us = now_us + stream.slo_us
        frontends = self._frontends
        if frontends:
            frontend = frontends[int(stream.uniform() * len(frontends))]
            self._sent(frontend.name, request_id, stream.name, now_us, deadline_us)
            if stream.is_query:
                frontend.submit_query(request_id, stream.name, deadline_us)
            else:
                frontend.submit(request_id, stream.name, deadline_us)
        else:
            self._sent(NOBODY, request_id, stream.name, now_us, deadline_us)
            self._ledger.broken_off(NOBODY)
        when_us = next(stream.times_us, None)
        if when_us is not None:
            self._at(self._from_us + when_us, self._arrive, stream)


def _streams(scenario: Scenario, rng: random.Random) -> Iterator[Stream]:
    for entry in scenario.sessions:
        own = random.Random(rng.getrandbits(64))  # noqa: S311 - reproducible, not secret
        times_us = arrival_times(arrivals_of(entry.arrivals, entry.rate), scenario.duration_us, own)
        yield Stream(entry.session.name, entry.session.slo_us, times_us, own, is_query=False)
    for asked in scenario.queries:
        own = random.Random(rng.getrandbits(64))  # noqa: S311 - reproducible, not secret
        times_us = arrival_times(arrivals_of(asked.arrivals, asked.rate), scenario.duration_us, own)
        yield Stream(asked.query.name, asked.query.slo_us, times_us, own, is_query=True)
