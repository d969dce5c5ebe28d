"""What one answered frame shows: the findings of all stages, joined by the regions they share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nexus.client.results import QueryResult
from nexus.core.finding import Region
from nexus.demo.street.tracker import Tracker, Vectors
from nexus.zoo.arrays import array_from

DETECT, PERSON, VEHICLE, READ = "detect", "person", "vehicle", "read"
KIND_SCORE_MIN = 0.2
"""A classifier always answers; below this it says that it does not know."""


@dataclass(frozen=True, slots=True)
class Object:
    """Something detected. ``person`` is its identity (0: none); ``kind`` a vehicle's class."""

    label: str
    score: float
    region: Region
    person: int = 0
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and where it stands."""

    text: str
    region: Region


@dataclass(frozen=True, slots=True)
class Sightings:
    """All objects, best first, and all lines that say something."""

    objects: tuple[Object, ...] = ()
    lines: tuple[Line, ...] = ()


def sightings_of(result: QueryResult, tracker: Tracker) -> Sightings:
    """Join the stages of one answer; ``tracker`` learns from the persons in it.

    A detection and the answer of the stage that looked at it carry the same region.
    """
    people = _people(result, tracker)
    kinds = _kinds(result)
    objects = tuple(
        Object(
            label=finding.label,
            score=finding.score,
            region=finding.region,
            person=people.get(finding.region, 0) if finding.label == "person" else 0,
            kind=kinds.get(finding.region, "") if finding.label != "person" else "",
        )
        for finding in result.findings(DETECT)
        if finding.region
    )
    lines = tuple(
        Line(finding.label, finding.region)
        for finding in result.findings(READ)
        if finding.region and finding.label.strip()
    )
    return Sightings(objects, lines)


def _people(result: QueryResult, tracker: Tracker) -> Mapping[Region, int]:
    stage = result.stage(PERSON)
    if stage is None or not stage.outcome.tensors:
        return {}
    looks: Vectors = np.asarray(array_from(stage.outcome.tensors[0]), np.float32)
    if len(looks) != len(stage.regions):
        return {}  # some persons of this frame failed: which rows are whose is not known
    return dict(zip(stage.regions, tracker.identify(looks), strict=True))


def _kinds(result: QueryResult) -> Mapping[Region, str]:
    return {
        finding.region: finding.label
        for finding in result.findings(VEHICLE)
        if finding.region and finding.score >= KIND_SCORE_MIN
    }
