"""Profile files: what is written is read back, and what is malformed is named by file and line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.core.errors import DocumentError, NotFoundError
from nexus.profiler.measurement import BatchRow, ItemCost, Measurement
from nexus.profiler.text_format import (
    FILE_BYTES_MAX,
    format_profile,
    parse_profile,
    read_profile,
    write_profile,
)

TEXT = """\
nexus-profile 1
model: resnet50
device: v100
hardware: Tesla V100
condition torch: 2.13.0
ended: throughput stopped growing
load_us: 812000
gaps: interpolated

item         p50_us  p95_us  std_us  repeats
preprocess     1043    1210      88       50
postprocess     310     340      12       50

batch  p50_us  p95_us  p99_us  std_us  memory_bytes  repeats
1        8600    8710    8800      40     401000000       50
2        9300    9460    9500      60     402000000       50
4       11000   11200   11300      90     404000000      100
"""

MEASUREMENT = Measurement(
    model="resnet50",
    device="v100",
    hardware="Tesla V100",
    conditions={"torch": "2.13.0"},
    ended="throughput stopped growing",
    load_us=812_000,
    preprocess=ItemCost(p50_us=1043, p95_us=1210, std_us=88, repeats=50),
    postprocess=ItemCost(p50_us=310, p95_us=340, std_us=12, repeats=50),
    rows=(
        BatchRow(
            batch=1,
            p50_us=8600,
            p95_us=8710,
            p99_us=8800,
            std_us=40,
            memory_bytes=401_000_000,
            repeats=50,
        ),
        BatchRow(
            batch=2,
            p50_us=9300,
            p95_us=9460,
            p99_us=9500,
            std_us=60,
            memory_bytes=402_000_000,
            repeats=50,
        ),
        BatchRow(
            batch=4,
            p50_us=11000,
            p95_us=11200,
            p99_us=11300,
            std_us=90,
            memory_bytes=404_000_000,
            repeats=100,
        ),
    ),
)

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
lines = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
counts = st.integers(min_value=0, max_value=10**12)


@st.composite
def batch_rows(draw: st.DrawFn) -> tuple[BatchRow, ...]:
    steps = draw(st.lists(st.integers(1, 5), max_size=10))
    batches = [1, *(1 + sum(steps[: index + 1]) for index in range(len(steps)))]
    rows = []
    for batch in batches:
        p50_us, p95_us, p99_us = sorted(draw(st.lists(counts, min_size=3, max_size=3)))
        rows.append(
            BatchRow(
                batch=batch,
                p50_us=p50_us + 1,
                p95_us=p95_us + 1,
                p99_us=p99_us + 1,
                std_us=draw(counts),
                memory_bytes=draw(counts),
                repeats=draw(counts) + 1,
            )
        )
    return tuple(rows)


@st.composite
def item_costs(draw: st.DrawFn) -> ItemCost:
    p50_us, p95_us = sorted((draw(counts), draw(counts)))
    return ItemCost(p50_us=p50_us, p95_us=p95_us, std_us=draw(counts), repeats=draw(counts))


measurements = st.builds(
    Measurement,
    model=names,
    device=names,
    rows=batch_rows(),
    hardware=lines,
    conditions=st.dictionaries(names, lines.filter(bool), max_size=3),
    ended=lines,
    load_us=counts,
    preprocess=item_costs(),
    postprocess=item_costs(),
)


@settings(max_examples=50)
@given(measurements)
def test_text_format_reads_back_what_it_wrote(measurement: Measurement) -> None:
    assert parse_profile(format_profile(measurement), "file") == measurement


def test_text_format_is_aligned_for_people() -> None:
    assert format_profile(MEASUREMENT) == TEXT
    assert parse_profile(TEXT, "file") == MEASUREMENT


def test_text_format_allows_other_spacing() -> None:
    loose = TEXT.replace("  ", " ").replace("\n", " \r\n")
    assert parse_profile(loose, "file") == MEASUREMENT


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nexus-profile 1", "nexus-profile 2", "file:1: expected 'nexus-profile 1'"),
        ("model: resnet50\n", "", "the header 'model' is missing"),
        ("model: resnet50", "model:", "file:2: expected 'name: text'"),
        ("model: resnet50", "model: a/b", "model name 'a/b' is not valid"),
        ("device: v100", "device: v100\ndevice: k80", "file:4: 'device' is given twice"),
        ("hardware:", "gpu:", "file:4: unknown header 'gpu'"),
        ("load_us: 812000", "load_us: soon", "load_us: 'soon' is not a whole number"),
        ("gaps: interpolated\n", "", "batches are missing"),
        ("item  ", "", "expected the columns 'item"),
        ("postprocess  ", "afterwards  ", "file:12: expected the row 'postprocess'"),
        ("    340  ", "    300  ", "file:12: the cost of an item"),
        ("memory_bytes", "memory_mb", "file:14: expected the columns"),
        ("9460    9500", "9460", "file:16: expected 7 columns"),
        ("9460", "-9460", "file:16: p95_us: '-9460' is not a whole number"),
        ("9460", "9460.5", "file:16: p95_us: '9460.5' is not a whole number"),
        ("9460", "9600", "file:16: batch 2: the quantiles 9300, 9600, 9500 us"),
        ("8600    8710    8800", "0    8710    8800", "file:15: batch 1: the quantiles 0"),
        ("\n4  ", "\n2  ", "file:17: batch 2 after batch 2"),
        ("\n1        8600", "\n0        8600", "file:15: batch 0: a number is below"),
        ("      100\n", "      100\nand more\n", "file:18: expected 7 columns"),
    ],
)
def test_text_format_names_what_is_malformed(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(DocumentError) as caught:
        parse_profile(TEXT.replace(old, new, 1), "file")
    assert message in caught.value.message
    assert caught.value.message.startswith("file:")


@pytest.mark.parametrize("length", range(0, len(TEXT) - 40, 7))
def test_text_format_refuses_a_cut_file(length: int) -> None:
    with pytest.raises(DocumentError):
        parse_profile(TEXT[:length], "file")


def test_profile_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "v100" / "resnet50.txt"
    write_profile(MEASUREMENT, path)
    assert path.read_text() == TEXT
    assert read_profile(path) == MEASUREMENT
    assert list(path.parent.iterdir()) == [path]


def test_profile_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.txt cannot be read"):
        read_profile(tmp_path / "none.txt")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(DocumentError, match=r"binary\.txt: not UTF-8"):
        read_profile(binary)
    huge = tmp_path / "huge.txt"
    huge.write_bytes(bytes(FILE_BYTES_MAX + 1))
    with pytest.raises(DocumentError, match=r"huge\.txt: over"):
        read_profile(huge)


def test_measurement_gives_the_planner_p95_and_the_largest_memory() -> None:
    profile = MEASUREMENT.profile()
    assert profile.latencies_us == (8710, 9460, 10330, 11200)
    assert profile.memory_bytes == 404_000_000
    assert (profile.preprocess_us, profile.postprocess_us) == (1210, 340)
    assert profile.load_us == 812_000
