"""What simulated models find: as many findings per child stage as the query's fan-out says.

A simulated stage has no pixels. Each of its items draws, for every child stage, a number of
findings with the label that the child asks for, so the frontend's real query execution does the
fanning out.
"""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nexus.core.finding import Finding, Region
from nexus.core.names import SessionName, stage_session_name
from nexus.core.query import Query
from nexus.core.request import ItemResult
from nexus.scheduler.scenario import FanOut, ScenarioQuery

_CROP = Region(0, 0, 64, 64)
_NOTHING = ItemResult()
_POISSON = FanOut()


@dataclass(frozen=True, slots=True)
class LabelDraw:
    """How many findings with one label an item has."""

    label: str
    mean: float
    fan_out: FanOut = _POISSON

    def count(self, rng: random.Random) -> int:
        """Draw a number."""
        if self.fan_out.kind == "listed":
            return rng.choice(self.fan_out.values)
        if self.fan_out.kind == "fixed":
            return math.floor(self.mean) + (rng.random() < self.mean % 1)
        return poisson(self.mean, rng)


@dataclass(slots=True)
class FanOuts:
    """For each stage session that has children, how many findings its items have."""

    draws: Mapping[SessionName, tuple[LabelDraw, ...]]
    _plain: dict[int, tuple[ItemResult, ...]] = field(default_factory=dict)
    _found: dict[tuple[int, ...], ItemResult] = field(default_factory=dict)

    def draw(
        self, draws: tuple[LabelDraw, ...] | None, items: int, rng: random.Random
    ) -> tuple[ItemResult, ...]:
        """What ``items`` items find; ``draws`` are their session's, None where nobody asks."""
        if draws is not None:
            return tuple(self._result(draws, rng) for _ in range(items))
        results = self._plain.get(items)
        if results is None:
            results = self._plain[items] = (_NOTHING,) * items
        return results

    def _result(self, draws: tuple[LabelDraw, ...], rng: random.Random) -> ItemResult:
        counts = tuple(draw.count(rng) for draw in draws)
        key = (id(draws), *counts)
        result = self._found.get(key)
        if result is None:
            result = self._found[key] = ItemResult(
                tuple(
                    Finding(draw.label, 1.0, _CROP)
                    for draw, count in zip(draws, counts, strict=True)
                    for _ in range(count)
                )
            )
        return result


def fan_outs_of(queries: Iterable[Query], declared: Iterable[ScenarioQuery] = ()) -> FanOuts:
    """The draws of every stage of ``queries`` that has children that ask for findings.

    ``declared`` are the same queries with their distributions.
    """
    kinds = {entry.query.name: entry.fan_outs for entry in declared}
    draws = {}
    for query in queries:
        kind = kinds.get(query.name, {})
        for stage in query.stages:
            children = tuple(
                LabelDraw(
                    label,
                    child.fan_out / len(child.after) / len(child.each),
                    kind.get(child.name, _POISSON),
                )
                for child in query.children(stage.name)
                for label in child.each
            )
            if children:
                draws[stage_session_name(query.name, stage.name)] = children
    return FanOuts(draws)


def poisson(mean: float, rng: random.Random) -> int:
    """A Poisson number, by multiplying uniforms: the means here are small."""
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
