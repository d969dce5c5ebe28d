"""The published profiles that come with the repository, and files that are not quite like them."""

from pathlib import Path

import pytest

from nexus.core.errors import DocumentError, NotFoundError
from nexus.profiler.fit import fit_line
from nexus.profiler.published import (
    read_alpha_beta,
    read_nexus_text,
    read_paper_budgets,
    read_paper_table,
)
from nexus.profiler.text_format import format_profile, parse_profile

PUBLISHED = Path(__file__).parents[2] / "profiler" / "profiles" / "published"
TITAN_X = PUBLISHED / "nexus-titan-x-pascal"
K80 = PUBLISHED / "nexus-tesla-k80" / "resnet50.txt"
PAPER = PUBLISHED / "nexus-paper-tables.csv"
SHEPHERD = PUBLISHED / "shepherd-v100.csv"


@pytest.mark.parametrize(
    ("file", "model", "batches"),
    [
        ("vgg16.txt", "vgg16", 174),
        ("vgg_face.txt", "vgg_face", 173),
        ("vgg_s.txt", "vgg_s", 512),
        ("yolo9000.txt", "yolo9000-480x480", 24),
    ],
)
def test_nexus_text_is_read_whole(file: str, model: str, batches: int) -> None:
    measurement = read_nexus_text(TITAN_X / file)
    assert measurement.model == model
    assert measurement.device == "titan-x-pascal"
    assert measurement.hardware == "TITAN X (Pascal)"
    assert not measurement.has_gaps
    assert measurement.profile().max_batch == batches
    assert parse_profile(format_profile(measurement), "again") == measurement


def test_nexus_text_vgg16_has_its_numbers_and_is_not_monotone() -> None:
    measurement = read_nexus_text(TITAN_X / "vgg16.txt")
    assert [row.p50_us for row in measurement.rows[:5]] == [6277, 14499, 18180, 20551, 20461]
    assert measurement.rows[0].std_us == 22
    assert measurement.rows[0].memory_bytes == 949_944_320
    assert measurement.preprocess.p50_us == 3306
    assert measurement.postprocess.p50_us == 1
    profile = measurement.profile()
    assert profile.throughput(2) < profile.throughput(1)
    assert profile.latency_us(1) == round(6277.4 + 1.645 * 22.3517)


def test_nexus_text_with_uuid_and_repeats() -> None:
    measurement = read_nexus_text(K80, model="resnet50", device="k80")
    assert (measurement.model, measurement.device) == ("resnet50", "k80")
    assert [row.p50_us for row in measurement.rows] == [20233, 26259, 31336, 42357, 45092]
    assert {row.repeats for row in measurement.rows} == {10}
    assert measurement.preprocess.repeats == 901
    assert measurement.postprocess.p50_us == 8


def test_shepherd_lines_are_lines() -> None:
    profiles = {profile.model: profile for profile in read_alpha_beta(SHEPHERD, "v100", 32)}
    assert len(profiles) == 17
    resnet50 = profiles["ResNet50"]
    assert resnet50.device == "v100"
    assert resnet50.max_batch == 32
    assert resnet50.latency_us(1) == 8_710
    assert resnet50.latency_us(32) == 31_960
    fit = fit_line(profiles["BERT"])
    assert fit.alpha_us == pytest.approx(40_980)
    assert fit.beta_us == pytest.approx(5_670)


def test_paper_table_two_has_its_batches_and_rates() -> None:
    profiles = {profile.model: profile for profile in read_paper_table(PAPER, "paper")}
    assert sorted(profiles) == ["A", "B", "C"]
    given_ms = {
        model: [p.latency_us(b) / 1000 for b in (4, 8, 16)] for model, p in profiles.items()
    }
    assert given_ms == {"A": [50, 75, 100], "B": [50, 90, 125], "C": [60, 95, 125]}
    rates = {model: profile.throughput(16) for model, profile in profiles.items()}
    assert rates == {"A": 160.0, "B": 128.0, "C": 128.0}


def test_paper_figure_three_has_its_rates() -> None:
    budgets = read_paper_budgets(PAPER)
    assert budgets["X"] == {40_000: 200.0, 50_000: 250.0, 60_000: 300.0}
    assert budgets["Y"] == {40_000: 300.0, 50_000: 400.0, 60_000: 500.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tensorflow:resnet_0:1", "resnet", r"k80\.txt:1: expected FRAMEWORK:MODEL:VERSION"),
        ("Forward latency", "Forwards", r"k80\.txt:4: expected 'Forward latency'"),
        ("batch,latency(us)", "size,latency(us)", r"k80\.txt:5: expected 'batch,latency"),
        ("3,31336.5", "4,31336.5", r"k80\.txt:8: expected batch 3, got 4"),
        ("3,31336.5,757.278", "3,31336.5", r"k80\.txt:8: expected 5 columns"),
        ("31336.5", "fast", r"k80\.txt:8: 'fast' is not a number"),
        ("31336.5", "nan", r"k80\.txt:8: 'nan' is not a finite number"),
        ("31336.5", "-3", r"k80\.txt:8: '-3' is not a finite number"),
        ("31336.5,", "0.2,", r"k80\.txt:8: batch 3: the quantiles 0"),
        ("Preprocess", "Postprocess", r"k80\.txt:11: expected 5 columns"),
        ("1073.2,107.746,901", "1073.2", r"k80\.txt:12: expected 3 columns"),
    ],
)
def test_nexus_text_names_what_is_malformed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = K80.read_text()
    assert old in text
    path = tmp_path / "k80.txt"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DocumentError, match=message):
        read_nexus_text(path)


def test_nexus_text_without_rows_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    lines = K80.read_text().splitlines()
    path.write_text("\n".join(lines[:5] + lines[10:]))
    with pytest.raises(DocumentError, match="must ascend from batch 1"):
        read_nexus_text(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# only a comment\n", "the column 'model' is missing"),
        ("model,alpha_ms\nA,1\n", "the column 'beta_ms' is missing"),
        ("# c\nmodel,alpha_ms,beta_ms\nA,1\n", r"\.csv:3: expected 3 columns, got 'A,1'"),
        ("model,alpha_ms,beta_ms\n\nA,one,1\n", r"\.csv:3: 'one' is not a number"),
        ("model,alpha_ms,beta_ms\nA,-9,1\n", "is not positive"),
    ],
)
def test_alpha_beta_names_what_is_malformed(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DocumentError, match=message):
        read_alpha_beta(path, "v100")


def test_published_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.csv"):
        read_paper_table(tmp_path / "none.csv", "paper")
