"""Importers of profiles published elsewhere; ``profiler/profiles/published`` says where from.

They give means, not quantiles. Where a standard deviation is given too, the quantiles are those of
a normal distribution.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from nexus.core.errors import DocumentError, InvalidArgumentError
from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile, linear_profile
from nexus.core.units import US_PER_MS, us_from_ms
from nexus.profiler.interpolation import interpolate
from nexus.profiler.measurement import BatchRow, ItemCost, Measurement
from nexus.profiler.text_format import read_text
from nexus.profiler.text_lines import TextLines

NORMAL_P95 = 1.645
NORMAL_P99 = 2.326
"""Standard deviations above the mean, of a normal distribution."""

_BATCH_HEADER = "batch,latency(us),std(us),memory(B)"
_ID_FIELDS_MIN = 3


def read_nexus_text(path: Path, *, model: ModelName = "", device: DeviceType = "") -> Measurement:
    """The text of the original Nexus profiler, in both of its variants.

    Newer files have a line with the GPU's uuid and a column of repeats. ``model`` and ``device``
    replace the names in the file, which are not names here (``caffe:vgg16:1``): by default they
    become ``vgg16`` and ``titan-x-pascal``.

    Raises:
        NotFoundError: There is no such file.
        DocumentError: It is malformed; the message names the file and the line.
    """
    lines = TextLines(read_text(path), str(path))
    file_model = _model_name(lines)
    hardware = lines.take()
    if lines.peek() != "Forward latency":
        lines.take()  # the uuid of the card that was measured, or "generic"
    lines.expect("Forward latency")
    rows = tuple(_nexus_rows(lines))
    preprocess = _nexus_item(lines, "Preprocess latency")
    postprocess = _nexus_item(lines, "Postprocess latency")
    with lines.naming_the_line():
        return Measurement(
            model=model or file_model,
            device=device or _plain_name(hardware),
            hardware=hardware.replace("_", " "),
            rows=rows,
            preprocess=preprocess,
            postprocess=postprocess,
        )


def read_alpha_beta(path: Path, device: DeviceType, max_batch: int = 64) -> tuple[Profile, ...]:
    """A CSV of ``model,alpha_ms,beta_ms``: l(b) = alpha * b + beta up to ``max_batch``."""
    profiles: list[Profile] = []
    for line, row in _csv_rows(path, ("model", "alpha_ms", "beta_ms")):
        alpha_us = US_PER_MS * _decimal(path, line, row["alpha_ms"])
        beta_us = US_PER_MS * _decimal(path, line, row["beta_ms"])
        try:
            profiles.append(linear_profile(row["model"], device, alpha_us, beta_us, max_batch))
        except InvalidArgumentError as error:
            raise DocumentError(f"{path}:{line}: {error.message}", reason=error.reason) from error
    return tuple(profiles)


def read_paper_table(path: Path, device: DeviceType) -> tuple[Profile, ...]:
    """Table 2 of the Nexus paper, from a CSV of ``model,batch,latency_ms,req_per_s``.

    Batches between the given ones are interpolated; rows without a batch belong to Figure 3 and
    are left to ``read_paper_budgets``.
    """
    latencies_us: dict[str, dict[int, int]] = defaultdict(dict)
    for line, row in _csv_rows(path, ("model", "batch", "latency_ms", "req_per_s")):
        if row["batch"]:
            batch = int(_decimal(path, line, row["batch"]))
            latencies_us[row["model"]][batch] = us_from_ms(_decimal(path, line, row["latency_ms"]))
    return tuple(
        Profile(model=model, device=device, latencies_us=interpolate(given))
        for model, given in sorted(latencies_us.items())
    )


def read_paper_budgets(path: Path) -> dict[ModelName, dict[int, float]]:
    """Figure 3 of the paper: for each model, latency budget in us -> requests per second."""
    rates: dict[str, dict[int, float]] = defaultdict(dict)
    for line, row in _csv_rows(path, ("model", "batch", "latency_ms", "req_per_s")):
        if not row["batch"]:
            budget_us = us_from_ms(_decimal(path, line, row["latency_ms"]))
            rates[row["model"]][budget_us] = _decimal(path, line, row["req_per_s"])
    return dict(rates)


def _nexus_rows(lines: TextLines) -> Iterator[BatchRow]:
    header = lines.take()
    has_repeats = header == f"{_BATCH_HEADER},repeat"
    if header != _BATCH_HEADER and not has_repeats:
        raise lines.malformed(f"expected {_BATCH_HEADER!r} with or without repeat, got {header!r}")
    expected = 1
    while lines.more() and not lines.peek().startswith("Preprocess"):
        words = lines.words(5 if has_repeats else 4, ",")
        if lines.number(words[0], "batch") != expected:
            raise lines.malformed(f"expected batch {expected}, got {words[0]}")
        mean_us, std_us = _float(lines, words[1]), _float(lines, words[2])
        with lines.naming_the_line():
            yield BatchRow(
                batch=expected,
                p50_us=round(mean_us),
                p95_us=round(mean_us + NORMAL_P95 * std_us),
                p99_us=round(mean_us + NORMAL_P99 * std_us),
                std_us=round(std_us),
                memory_bytes=lines.number(words[3], "memory"),
                repeats=lines.number(words[4], "repeat") if has_repeats else 1,
            )
        expected += 1


def _nexus_item(lines: TextLines, title: str) -> ItemCost:
    """``Preprocess latency (mean,std,repeat)`` and a row, or a title, a header and a row."""
    heading = lines.take()
    if not heading.startswith(title):
        raise lines.malformed(f"expected {title!r}, got {heading!r}")
    has_repeats = heading.endswith("repeat)")
    if not has_repeats:
        lines.expect("mean(us),std(us)")
    words = lines.words(3 if has_repeats else 2, ",")
    mean_us, std_us = _float(lines, words[0]), _float(lines, words[1])
    return ItemCost(
        p50_us=round(mean_us),
        p95_us=round(mean_us + NORMAL_P95 * std_us),
        std_us=round(std_us),
        repeats=lines.number(words[2], "repeat") if has_repeats else 1,
    )


def _model_name(lines: TextLines) -> ModelName:
    """``caffe:vgg16:1`` -> ``vgg16``; ``darknet:yolo9000:1:480x480`` -> ``yolo9000-480x480``."""
    fields = lines.take().split(":")
    if len(fields) < _ID_FIELDS_MIN:
        raise lines.malformed(f"expected FRAMEWORK:MODEL:VERSION, got {':'.join(fields)!r}")
    _framework, name, _version, *size = fields
    return "-".join([name, *size])


def _plain_name(hardware: str) -> DeviceType:
    return re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")


def _float(lines: TextLines, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise lines.malformed(f"{text!r} is not a number") from error
    if not 0 <= value < float("inf"):
        raise lines.malformed(f"{text!r} is not a finite number >= 0")
    return value


def _csv_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows below the header, with their line numbers; lines that begin with # are comments."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    table = [(number, line) for number, line in lines if line and not line.startswith("#")]
    words = list(csv.reader(line for _, line in table))
    header = words[0] if words else []
    for column in columns:
        if column not in header:
            raise DocumentError(f"{path}: the column {column!r} is missing")
    for (number, line), values in zip(table[1:], words[1:], strict=True):
        if len(values) != len(header):
            raise DocumentError(f"{path}:{number}: expected {len(header)} columns, got {line!r}")
        yield number, dict(zip(header, values, strict=True))


def _decimal(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DocumentError(f"{path}:{line}: {text!r} is not a number") from error
