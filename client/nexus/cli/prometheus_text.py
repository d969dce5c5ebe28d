"""Samples of one metric out of a Prometheus text page: what ``nexus top`` needs, and no more."""

import re
from collections.abc import Iterator, Mapping

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(page: str, metric: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """(labels, value) of every sample of ``metric``; lines that are no samples are skipped."""
    for line in page.splitlines():
        found = _SAMPLE.match(line)
        if found is None or found["name"] != metric:
            continue
        labels = {key: _unescape(text) for key, text in _LABEL.findall(found["labels"] or "")}
        yield labels, float(found["value"])


def _unescape(text: str) -> str:
    return text.replace(r"\n", "\n").replace(r"\"", '"').replace(r"\\", "\\")
