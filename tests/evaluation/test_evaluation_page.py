"""The evaluation's page is rendered from kept data alone, whatever became of its sections."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.evaluation.__main__ import main, run_one
from benchmarks.evaluation.effort import QUICK
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.rendering import page_text, render
from benchmarks.evaluation.section import (
    Evaluation,
    Picture,
    Promise,
    Section,
    Table,
    read_evaluation,
    write_evaluation,
)
from nexus.drawing.axis import Axis
from nexus.drawing.column_chart import ColumnChart, Columns

DOCS = Path(__file__).parents[2] / "docs"
SECTION = Section(
    name="limit",
    title="The limit",
    about="One session.",
    promises=(
        Promise(what="share | of it", target=">= 0.9", measured="0.95", kept=True),
        Promise(what="worse", target=">= 2", measured="1", kept=False, paper=True),
        Promise(what="unknown", target="< 1", measured="-", kept=None),
    ),
    tables=(Table(("a", "b"), (("1", "x|y"),), "Numbers"),),
    pictures=(
        Picture(
            name="limit",
            words="shares",
            columns=ColumnChart(
                title="t",
                axis=Axis(title="share"),
                groups=("one", "two"),
                series=(Columns("default", (0.5, math.nan)),),
            ),
        ),
    ),
    run="one seed",
)


def test_evaluation_survives_the_file_with_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "evaluation.json"
    write_evaluation(Evaluation(sections=(SECTION,)), path)
    assert "NaN" not in path.read_text()
    json.loads(path.read_text())
    found = read_evaluation(path)
    assert found is not None
    columns = found.sections[0].pictures[0].columns
    assert columns is not None
    assert columns.series[0].values[0] == 0.5
    assert math.isnan(columns.series[0].values[1])
    assert found.sections[0].promises == SECTION.promises


def test_evaluation_of_a_section_replaces_its_namesake_and_keeps_the_order() -> None:
    old = Evaluation(sections=(SECTION, Section(name="b", title="old")))
    new = Evaluation(sections=(Section(name="b", title="new"), Section(name="c", title="c")))
    assert [s.title for s in old.with_sections(new).sections] == ["The limit", "new", "c"]


def test_page_says_what_is_kept_and_what_is_not() -> None:
    page = page_text(Evaluation(sections=(SECTION,)), "images")
    assert "| share \\| of it | >= 0.9 | 0.95 | yes |" in page
    assert "| worse | >= 2 | 1 | **no** |" in page
    assert "| unknown | < 1 | - | not measured |" in page
    assert "1 of 2 kept." in page
    assert "0 of 1 kept." in page
    assert "![shares](images/evaluation-limit.svg)" in page
    assert "| 1 | x\\|y |" in page
    assert "quick run" not in page.lower()


def test_page_of_a_quick_run_says_so() -> None:
    short = Evaluation(sections=(SECTION, Section(name="b", title="B", quick=True)))
    page = page_text(short, "images")
    assert "not to be quoted:** b." in page
    assert page.count("Do not quote it") == 1


def test_render_writes_pictures_and_removes_stale_ones(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "evaluation-old.svg").write_text("<svg/>")
    (images / "plan.svg").write_text("<svg/>")
    render(Evaluation(sections=(SECTION,)), tmp_path / "evaluation.md", images)
    names = sorted(path.name for path in images.iterdir())
    assert names == ["evaluation-limit.svg", "plan.svg"]


def test_run_one_puts_a_failure_on_the_page_and_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(_lab: Lab) -> Section:
        raise ValueError("no such policy | anywhere")

    section = run_one("broken", broken, Lab(QUICK, 1, lambda _line: None))
    page = page_text(Evaluation(sections=(section, SECTION)), "images")
    assert "**This experiment failed:** ValueError: no such policy \\| anywhere" in page
    assert "## The limit" in page
    assert "Traceback" in capsys.readouterr().err


def test_main_render_without_data_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--render", "--out", str(tmp_path)]) == 2
    assert "run without --render first" in capsys.readouterr().err


def test_main_render_needs_no_run(tmp_path: Path) -> None:
    write_evaluation(Evaluation(sections=(SECTION,)), tmp_path / "evaluation.json")
    assert main(["--render", "--out", str(tmp_path)]) == 0
    assert "## The limit" in (tmp_path / "evaluation.md").read_text()
    assert (tmp_path / "images" / "evaluation-limit.svg").exists()


@pytest.mark.skipif(not (DOCS / "evaluation.json").exists(), reason="no evaluation was kept")
def test_page_in_the_repository_is_what_its_data_say(tmp_path: Path) -> None:
    kept = read_evaluation(DOCS / "evaluation.json")
    assert kept is not None
    render(kept, tmp_path / "evaluation.md", tmp_path / "images")
    assert (tmp_path / "evaluation.md").read_text() == (DOCS / "evaluation.md").read_text()
    for picture in (tmp_path / "images").iterdir():
        assert picture.read_text() == (DOCS / "images" / picture.name).read_text(), picture.name
