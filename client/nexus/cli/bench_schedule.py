"""What a load generator sends and when: a scenario's arrivals, merged. Pure and seeded."""

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import Arrivals, arrival_times, arrivals_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One session or query under load. ``target`` is the model's, or the query's, name."""

    name: str
    target: str
    slo_us: int
    arrivals: Arrivals
    is_query: bool = False


def sources_of(scenario: Scenario, rate_factor: float) -> tuple[Source, ...]:
    """Every session and query of a scenario, all rates times ``rate_factor``."""
    sessions = (
        Source(
            name=entry.session.name,
            target=entry.session.model,
            slo_us=entry.session.slo_us,
            arrivals=arrivals_of(entry.arrivals, entry.rate * rate_factor),
        )
        for entry in scenario.sessions
    )
    queries = (
        Source(
            name=entry.query.name,
            target=entry.query.name,
            slo_us=entry.query.slo_us,
            arrivals=arrivals_of(entry.arrivals, entry.rate * rate_factor),
            is_query=True,
        )
        for entry in scenario.queries
    )
    return (*sessions, *queries)


def schedule(
    sources: Iterable[Source], duration_us: int, seed: int
) -> Iterator[tuple[int, Source]]:
    """(due time, source) of every request in time order, from 0.

    Each source draws from a stream of its own, named by seed and source, so adding a session does
    not change when the others' requests come.
    """
    streams = (
        _named(source, arrival_times(source.arrivals, duration_us, _rng(seed, source)))
        for source in sources
    )
    return heapq.merge(*streams, key=lambda due: due[0])


def _rng(seed: int, source: Source) -> random.Random:
    return random.Random(f"{seed}/{source.name}")  # noqa: S311 - reproducible, not secret


def _named(source: Source, times: Iterator[int]) -> Iterator[tuple[int, Source]]:
    return ((due_us, source) for due_us in times)
