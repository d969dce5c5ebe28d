"""The one line a server prints when it serves: ``ready component=backend name=b0 grpc=...``."""

from dataclasses import dataclass

_PREFIX = "ready "


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyLine:
    """Where a server listens, each ``host:port``; empty where it has no such port."""

    component: str
    name: str
    grpc: str = ""
    data: str = ""
    metrics: str = ""


def parse_ready_line(line: str) -> ReadyLine | None:
    """What the line says, or None when it is not a ready line; unknown keys are ignored."""
    if not line.startswith(_PREFIX):
        return None
    pairs = dict(word.partition("=")[::2] for word in line[len(_PREFIX) :].split())
    if not pairs.get("component") or not pairs.get("name"):
        return None
    known = ("component", "name", "grpc", "data", "metrics")
    return ReadyLine(**{key: pairs[key] for key in known if key in pairs})
