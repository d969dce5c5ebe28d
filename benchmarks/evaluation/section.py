"""What an experiment yields: promises held or not, tables, pictures. Plain data, kept as JSON.

Text and pictures are rendered from this data alone, so they can be redone without a run.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nexus.core.document import from_data, to_data
from nexus.drawing.bar_chart import BarChart
from nexus.drawing.column_chart import ColumnChart
from nexus.drawing.line_chart import LineChart


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are written already; ``title`` may be empty."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One chart; ``name`` becomes the file's name, ``words`` what a reader without it gets."""

    name: str
    words: str
    lines: LineChart | None = None
    columns: ColumnChart | None = None
    bars: BarChart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """``kept`` None: it could not be measured. ``paper``: a row of the published figures."""

    what: str
    target: str
    measured: str
    kept: bool | None
    paper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One experiment's outcome. ``run`` says lengths and seeds; ``failure`` why there is nothing.

    ``about`` is what it is, ``seen`` what to see in it. ``quick``: a short run, to see that all
    works; not to be quoted.
    """

    name: str
    title: str
    about: str = ""
    seen: tuple[str, ...] = ()
    run: str = ""
    promises: tuple[Promise, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    failure: str = ""
    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All sections, in order."""

    sections: tuple[Section, ...]

    def with_sections(self, newer: "Evaluation") -> "Evaluation":
        """These sections, those of ``newer`` in place of their namesakes, new ones at the end."""
        fresh = {section.name: section for section in newer.sections}
        kept = [fresh.pop(section.name, section) for section in self.sections]
        return replace(self, sections=(*kept, *fresh.values()))


def read_evaluation(path: Path) -> Evaluation | None:
    """What an earlier run kept; None when there is none."""
    if not path.exists():
        return None
    return from_data(Evaluation, _from_json(json.loads(path.read_text())))


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Keep the data; missing values are null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_to_json(to_data(evaluation)), indent=1, allow_nan=False) + "\n")


def _to_json(data: Any) -> Any:
    """JSON knows no NaN: inside lists, where values stand, null is none."""
    if isinstance(data, dict):
        return {key: _to_json(value) for key, value in data.items()}
    if isinstance(data, list):
        return [
            None if isinstance(item, float) and not math.isfinite(item) else _to_json(item)
            for item in data
        ]
    return data


def _from_json(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _from_json(value) for key, value in data.items()}
    if isinstance(data, list):
        return [math.nan if item is None else _from_json(item) for item in data]
    return data
