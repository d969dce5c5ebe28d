"""How requests of a session or query arrive, as people write it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from nexus.core.errors import DocumentError
from nexus.scheduler.located_yaml import YamlValue
from nexus.scheduler.scenario import Arrivals

TRACE_TIMES_MAX = 5_000_000
_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "uniform": ((), ()),
    "poisson": ((), ()),
    "bursty": (("cv",), ("cv",)),
    "step": (("at_s", "until_s", "factor"), ("at_s", "factor")),
    "diurnal": (("period_s", "amplitude"), ("period_s",)),
    "trace": (("times_s", "file", "speed"), ()),
}
"""For each kind the keys it may have, and those it must have."""

ARRIVAL_KINDS = tuple(_KEYS)


def read_arrivals(value: YamlValue | None, folder: Path) -> Arrivals:
    """Arrivals; trace files are looked for in ``folder``. Raises DocumentError."""
    if value is None:
        return Arrivals()
    entries = dict(value.entries())
    if "kind" not in entries:
        raise value.error("key 'kind' is missing")
    kind = entries["kind"].choice(ARRIVAL_KINDS)
    known, required = _KEYS[kind]
    fields = value.fields(("kind", *known), required=required)
    parameters: dict[str, object] = {
        key: _CHECKS[key](item) for key, item in fields.items() if key in _CHECKS
    }
    if kind == "trace":
        parameters["times_s"] = _times_s(value, fields, folder)
    return Arrivals(kind=kind, parameters=parameters)


_CHECKS: Mapping[str, Callable[[YamlValue], float]] = {
    "cv": lambda value: value.number(above=True),
    "at_s": lambda value: value.number(),
    "until_s": lambda value: value.number(above=True),
    "factor": lambda value: value.number(),
    "period_s": lambda value: value.number(above=True),
    "amplitude": lambda value: value.number(high=1.0),
    "speed": lambda value: value.number(above=True),
}


def _times_s(value: YamlValue, fields: Mapping[str, YamlValue], folder: Path) -> list[float]:
    if ("times_s" in fields) == ("file" in fields):
        raise value.error("expected exactly one of times_s and file")
    if "times_s" in fields:
        return [item.number() for item in fields["times_s"].items()]
    file = fields["file"]
    path = folder / file.text()
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise file.error(f"{path}: cannot be read: {error}") from error
    if len(lines) > TRACE_TIMES_MAX:
        raise file.error(f"{path}: more than {TRACE_TIMES_MAX} times")
    return [_time_s(text, number, path, file) for number, text in enumerate(lines, start=1)]


def _time_s(text: str, number: int, path: Path, file: YamlValue) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise DocumentError(
            f"{file.source}:{file.line}: {file.path}: {path}: time {number}, {text!r}, is not a "
            "number of seconds"
        )
    return seconds
