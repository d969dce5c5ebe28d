"""What emulated models find: as many findings per child stage as the query's fan-out says.

A simulated stage has no pixels. Each of its items draws, for every child stage, a Poisson number of
findings with the label that the child asks for, so the frontend's real query execution does the
fanning out.
"""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nexus.core.finding import Finding, Region
from nexus.core.names import SessionName, stage_session_name
from nexus.core.query import Query
from nexus.core.request import ItemResult

_CROP = Region(0, 0, 64, 64)


@dataclass(frozen=True, slots=True)
class FanOuts:
    """For each stage session, the labels its items find and how many of each on average."""

    means: Mapping[SessionName, tuple[tuple[str, float], ...]]

    def draw(self, session: SessionName, items: int, rng: random.Random) -> tuple[ItemResult, ...]:
        """What ``items`` items of a session find."""
        means = self.means.get(session)
        if not means:
            return tuple(ItemResult() for _ in range(items))
        return tuple(ItemResult(tuple(_findings(means, rng))) for _ in range(items))


def fan_outs_of(queries: Iterable[Query]) -> FanOuts:
    """The mean findings of every stage of the queries."""
    means = {}
    for query in queries:
        for stage in query.stages:
            children = tuple(
                (label, child.fan_out / len(child.after) / len(child.each))
                for child in query.children(stage.name)
                for label in child.each
            )
            means[stage_session_name(query.name, stage.name)] = children
    return FanOuts(means)


def _findings(means: tuple[tuple[str, float], ...], rng: random.Random) -> Iterable[Finding]:
    for label, mean in means:
        for _ in range(poisson(mean, rng)):
            yield Finding(label, 1.0, _CROP)


def poisson(mean: float, rng: random.Random) -> int:
    """A Poisson number, by multiplying uniforms: the means here are small."""
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
