"""Profile files: text that a person reads and ``diff`` compares.

    nexus-profile 1
    model: resnet50
    device: v100
    hardware: Tesla V100-PCIE-16GB
    condition torch: 2.13.0
    ended: throughput stopped growing
    load_us: 812000

    item         p50_us  p95_us  std_us  repeats
    preprocess     1043    1210      88       50
    postprocess     310     340      12       50

    batch  p50_us  p95_us  p99_us  std_us  memory_bytes  repeats
    1        8600    8710    8800      40     401000000       50
    2        9300    9460    9500      60     402000000       50

There is no date in it: measuring again changes only the numbers. When batches are left out the
header ``gaps: interpolated`` says so: they were not measured, and are interpolated on reading
(``nexus.profiler.interpolation``). Without it a missing row is an error.
"""

from pathlib import Path

from nexus.core.errors import DocumentError, InvalidArgumentError, NotFoundError
from nexus.profiler.measurement import BatchRow, ItemCost, Measurement
from nexus.profiler.text_lines import TextLines

FIRST_LINE = "nexus-profile 1"
FILE_BYTES_MAX = 1_000_000

_HEADERS = ("model", "device", "hardware", "ended", "load_us", "gaps")
_ITEM_COLUMNS = ("item", "p50_us", "p95_us", "std_us", "repeats")
_BATCH_COLUMNS = ("batch", "p50_us", "p95_us", "p99_us", "std_us", "memory_bytes", "repeats")
_CONDITION = "condition "
_INTERPOLATED = "interpolated"


def format_profile(measurement: Measurement) -> str:
    """The text of a profile file."""
    headers = {
        "model": measurement.model,
        "device": measurement.device,
        "hardware": measurement.hardware,
        **{_CONDITION + name: text for name, text in measurement.conditions.items()},
        "ended": measurement.ended,
        "load_us": str(measurement.load_us),
        "gaps": _INTERPOLATED if measurement.has_gaps else "",
    }
    lines = [FIRST_LINE, *(f"{name}: {text}" for name, text in headers.items() if text), ""]
    items = (("preprocess", measurement.preprocess), ("postprocess", measurement.postprocess))
    lines += _table(
        _ITEM_COLUMNS,
        [(name, *_numbers(cost, _ITEM_COLUMNS[1:])) for name, cost in items],
    )
    lines += ["", *_table(_BATCH_COLUMNS, [_numbers(r, _BATCH_COLUMNS) for r in measurement.rows])]
    return "\n".join(lines) + "\n"


def parse_profile(text: str, source: str) -> Measurement:
    """The measurement in ``text``; raise DocumentError naming ``source`` and the line."""
    lines = TextLines(text, source)
    lines.expect(FIRST_LINE)
    headers, conditions = _parse_headers(lines)
    items = _parse_items(lines)
    rows = _parse_rows(lines)
    if rows and rows[-1].batch > len(rows) and headers.get("gaps") != _INTERPOLATED:
        raise lines.malformed("batches are missing; write 'gaps: interpolated' if that is meant")
    try:
        return Measurement(
            model=headers["model"],
            device=headers["device"],
            hardware=headers.get("hardware", ""),
            conditions=conditions,
            ended=headers.get("ended", ""),
            load_us=lines.number(headers.get("load_us", "0"), "load_us"),
            preprocess=items["preprocess"],
            postprocess=items["postprocess"],
            rows=rows,
        )
    except InvalidArgumentError as error:
        raise DocumentError(f"{source}: {error.message}", reason=error.reason) from error


def write_profile(measurement: Measurement, path: Path) -> None:
    """Write a profile file, whole or not at all; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(format_profile(measurement), encoding="utf-8")
    draft.replace(path)


def read_profile(path: Path) -> Measurement:
    """Read a profile file.

    Raises:
        NotFoundError: There is no such file.
        DocumentError: It is malformed; the message names the file and the line.
    """
    return parse_profile(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a file, read with the errors and the size limit of ``read_profile``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"profile {path} cannot be read: {error.strerror}", reason="unknown_profile"
        ) from error
    if len(content) > FILE_BYTES_MAX:
        raise DocumentError(f"{path}: over {FILE_BYTES_MAX} bytes, so not a profile")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not UTF-8 text, so not a profile: {error}") from error


def _parse_headers(lines: TextLines) -> tuple[dict[str, str], dict[str, str]]:
    headers: dict[str, str] = {}
    conditions: dict[str, str] = {}
    while line := lines.take():
        name, colon, text = (part.strip() for part in line.partition(":"))
        condition = name.removeprefix(_CONDITION)
        if not colon or not text:
            raise lines.malformed(f"expected 'name: text', got {line!r}")
        if name in headers or condition in conditions:
            raise lines.malformed(f"{name!r} is given twice")
        if condition != name:
            conditions[condition] = text
        elif name in _HEADERS:
            headers[name] = text
        else:
            raise lines.malformed(f"unknown header {name!r}; the headers are {_HEADERS}")
    for name in ("model", "device"):
        if name not in headers:
            raise lines.malformed(f"the header {name!r} is missing")
    return headers, conditions


def _parse_items(lines: TextLines) -> dict[str, ItemCost]:
    lines.expect_words(_ITEM_COLUMNS)
    costs: dict[str, ItemCost] = {}
    for name in ("preprocess", "postprocess"):
        word, *numbers = lines.words(len(_ITEM_COLUMNS))
        if word != name:
            raise lines.malformed(f"expected the row {name!r}, got {word!r}")
        columns = zip(_ITEM_COLUMNS[1:], numbers, strict=True)
        values = {column: lines.number(text, column) for column, text in columns}
        with lines.naming_the_line():
            costs[name] = ItemCost(**values)
    lines.expect("")
    return costs


def _parse_rows(lines: TextLines) -> tuple[BatchRow, ...]:
    lines.expect_words(_BATCH_COLUMNS)
    rows: list[BatchRow] = []
    while lines.more():
        columns = zip(_BATCH_COLUMNS, lines.words(len(_BATCH_COLUMNS)), strict=True)
        values = {column: lines.number(text, column) for column, text in columns}
        with lines.naming_the_line():
            rows.append(BatchRow(**values))
        if len(rows) > 1 and rows[-1].batch <= rows[-2].batch:
            raise lines.malformed(f"batch {rows[-1].batch} after batch {rows[-2].batch}")
    return tuple(rows)


def _numbers(record: object, columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(getattr(record, column)) for column in columns)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Columns aligned: the first to the left, numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in (columns, *rows)
    ]
