"""The run: pacing, counting, drops by reason, what is seen, and how it is shown."""

import asyncio
import io
import re
from itertools import repeat
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from nexus.client.results import QueryResult
from nexus.core.answer import StageResult
from nexus.core.errors import RefusedError
from nexus.core.finding import Finding
from nexus.core.request import DropReason, dropped
from nexus.demo.street import street as street_module
from nexus.demo.street.camera import Camera, CameraFrame, encoded
from nexus.demo.street.overlay import annotated, interest
from nexus.demo.street.report import StageReport, StreetReport
from nexus.demo.street.sightings import Sightings, sightings_of
from nexus.demo.street.street import StreetSettings, run_street
from nexus.demo.street.summary import summary_text
from nexus.demo.street.table import PlainLines, display_for, table_of
from nexus.demo.street.tally import StageTally, StreetTally, quantile_ms
from nexus.demo.street.tracker import Tracker
from tests.demo.answers import CAR, MAN, SIGN, stage, street_answer

FRAME = CameraFrame(0, encoded(Image.new("RGB", (160, 128))), "CAM-03 12-00-00")
REPORT = StreetReport(
    query="street",
    slo_ms=1500,
    elapsed_s=60,
    offered=120,
    in_time=110,
    late=1,
    dropped={"overloaded": 6, "deadline": 3},
    p50_ms=400,
    p99_ms=1200,
    stages=(
        StageReport(stage="detect", calls=111, batch=1.5, budget_ms=600, p50_ms=90, p99_ms=300),
    ),
    read_right=108,
    last_text="CAM-03 12-00-59",
    objects={"car": 50, "person": 40},
    vehicles={"minivan": 9},
    people=3,
)


class ScriptedClient:
    """Answers like a cluster that refuses every third frame."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.timeouts_s: set[float | None] = set()

    async def query(
        self,
        name: str,
        frame: bytes,
        *,
        timeout_s: float | None = None,
        frame_id: int = 0,
        stream_id: str = "",
    ) -> QueryResult:
        assert (name, frame, stream_id) == ("street", FRAME.content, "CAM-03")
        self.asked.append(frame_id)
        self.timeouts_s.add(timeout_s)
        await asyncio.sleep(0)
        if len(self.asked) % 3 == 0:
            raise RefusedError("too much", reason="overloaded")
        return street_answer()


class SilentClient(ScriptedClient):
    """Answers nothing before ``answer`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()

    async def query(
        self,
        name: str,  # noqa: ARG002
        frame: bytes,  # noqa: ARG002
        *,
        timeout_s: float | None = None,  # noqa: ARG002
        frame_id: int = 0,
        stream_id: str = "",  # noqa: ARG002
    ) -> QueryResult:
        self.asked.append(frame_id)
        await self.answer.wait()
        return street_answer()


@pytest.fixture
def _still_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Camera, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(Camera, "frames", lambda _: repeat(FRAME))


@pytest.mark.usefixtures("_still_camera")
async def test_street_run_counts_every_frame_once(tmp_path: Path) -> None:
    client = ScriptedClient()
    png = tmp_path / "made" / "street.png"
    settings = StreetSettings(frame_rate=1000, duration_s=0.012, png=png)
    updates: list[StreetReport] = []
    report = await run_street(client, settings, updates.append)
    assert (report.offered, report.in_time, report.late) == (12, 8, 0)
    assert report.dropped == {"overloaded": 4}
    assert report.admitted == 8
    assert report.read_right_share == 1.0
    assert client.timeouts_s == {2.5}
    assert len(updates) == 24
    with Image.open(png) as picture:
        assert picture.size == (320, 256)


@pytest.mark.usefixtures("_still_camera")
async def test_street_run_bounds_frames_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(street_module, "IN_FLIGHT_MAX", 3)
    client = SilentClient()

    def on_update(report: StreetReport) -> None:
        if report.offered == 5:
            client.answer.set()

    report = await run_street(client, StreetSettings(frame_rate=1000, duration_s=0.005), on_update)
    assert report.dropped == {"camera_full": 2}
    assert report.in_time == 3


@pytest.mark.usefixtures("_still_camera")
async def test_street_run_without_answers_writes_no_picture(tmp_path: Path) -> None:
    class Refusing(ScriptedClient):
        async def query(self, *_: object, **__: object) -> QueryResult:
            raise RefusedError("no", reason="no_route")

    png = tmp_path / "street.png"
    settings = StreetSettings(frame_rate=1000, duration_s=0.003, png=png)
    report = await run_street(Refusing(), settings, lambda _: None)
    assert report.dropped == {"no_route": 3}
    assert (report.admitted, report.in_time_share) == (0, 0.0)
    assert not png.exists()


def test_street_sightings_join_the_stages_by_region() -> None:
    seen = sightings_of(street_answer("TAXI"), Tracker())
    man, car = seen.objects
    assert (man.label, man.person, man.kind, man.region) == ("person", 1, "", MAN)
    assert (car.label, car.person, car.kind, car.region) == ("car", 0, "minivan", CAR)
    assert [(line.text, line.region) for line in seen.lines] == [("TAXI", SIGN)]


def test_street_sightings_do_without_stages_that_gave_nothing() -> None:
    result = QueryResult(
        query="street",
        stages=(
            stage("detect", Finding("person", 0.9, MAN), Finding("car", 0.8, CAR)),
            stage("person", regions=(MAN, CAR), looks=((1.0, 0.0),), failed=1),
            stage("vehicle", Finding("mouse", 0.1, CAR), regions=(CAR,)),
            stage("read", Finding(" ", 0.1, SIGN), regions=(SIGN,)),
        ),
    )
    seen = sightings_of(result, Tracker())
    assert [(thing.person, thing.kind) for thing in seen.objects] == [(0, ""), (0, "")]
    assert seen.lines == ()


def test_street_tally_tells_late_from_in_time_and_right_from_wrong() -> None:
    tally = StreetTally("street", slo_us=1_500_000)
    for text, latency_us in (("CAM-03 12-00-00", 1_500_000), ("CAM-O3", 1_500_001)):
        answer = street_answer(text, latency_us)
        tally.answered(FRAME, answer, sightings_of(answer, Tracker()))
    report = tally.report(elapsed_us=2_000_000, people=1)
    assert (report.in_time, report.late, report.read_right) == (1, 1, 1)
    assert report.last_text == "CAM-O3"
    assert report.objects == {"person": 2, "car": 2}
    assert report.vehicles == {"minivan": 2}
    detect = report.stages[0]
    assert (detect.calls, detect.batch, detect.budget_ms, detect.p50_ms) == (2, 4.0, 300, 40)


def test_street_tally_counts_failed_items_of_a_stage() -> None:
    tally = StageTally()
    tally.add(stage("person", regions=(MAN, CAR), looks=((1.0, 0.0),), failed=1))
    failed = dropped(DropReason.DEADLINE)
    tally.add(StageResult(stage="person", outcome=failed, regions=(MAN, CAR), skipped_items=3))
    report = tally.report("person")
    assert (report.calls, report.dropped, report.skipped) == (1, 3, 3)


@pytest.mark.parametrize(
    ("fraction", "expected_ms"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)]
)
def test_street_quantile_of_a_hundred(fraction: float, expected_ms: float) -> None:
    assert quantile_ms([1000 * n for n in range(100, 0, -1)], fraction) == expected_ms
    assert quantile_ms([], fraction) == 0


def test_street_report_counts_refused_frames_as_not_admitted() -> None:
    assert REPORT.admitted == 110 + 1 + 3
    assert REPORT.in_time_share == pytest.approx(110 / 114)


def test_street_summary_says_everything() -> None:
    text = summary_text(REPORT, Path("street.png"))
    for part in (
        "120 frames in 60 s, 114 admitted, 110 in time (96.5%), 1 late",
        "9 dropped (6 overloaded, 3 deadline)",
        "detect     111 calls, batch 1.5, budget 600 ms",
        "50 car, 40 person; vehicles: 9 minivan; 3 different persons",
        "read right on 108 of 111 answered frames (97.3%)",
        "annotated frame: street.png",
    ):
        assert part in text


def test_street_display_is_plain_lines_in_a_pipe() -> None:
    output = io.StringIO()
    display = display_for(Console(file=output, width=60))
    assert isinstance(display, PlainLines)
    with display:
        for _ in range(10):
            display.update(REPORT)  # all at the same moment of the run: one line is enough
    assert output.getvalue().count("\n") == 1
    assert "110 in time, 1 late, 9 dropped (6 overloaded, 3 deadline)" in output.getvalue()


def test_street_display_is_a_table_on_a_terminal() -> None:
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True, color_system=None)
    with display_for(console) as display:
        display.update(REPORT)
    for part in ("budget ms", "detect", "CAM-03 12-00-59", "97% of stamps right", "110 in time"):
        assert part in output.getvalue()


def test_street_table_marks_a_stage_over_its_budget() -> None:
    late = StageReport(stage="read", budget_ms=100, p99_ms=120, dropped=2)
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True, color_system="standard")
    console.print(table_of(StreetReport(query="street", slo_ms=1500, stages=(late,))))
    assert re.search(r"\x1b\[33m *120", output.getvalue())
    assert re.search(r"\x1b\[31m *2\b", output.getvalue())


def test_street_overlay_draws_boxes_in_the_drawn_scale() -> None:
    seen = sightings_of(street_answer(), Tracker())
    picture = annotated(FRAME.content, seen)
    assert picture.size == (320, 256)
    # The left edges of the man's and of the car's box, half way down.
    assert picture.getpixel((2 * MAN.x + 1, 2 * MAN.y + MAN.height)) == (120, 220, 90)
    assert picture.getpixel((2 * CAR.x + 1, 2 * CAR.y + CAR.height)) == (255, 176, 32)


def test_street_overlay_keeps_the_frame_that_shows_most() -> None:
    full = sightings_of(street_answer(), Tracker())
    assert interest(Sightings()) == 0
    assert interest(full) > interest(Sightings(full.objects[:1])) > 0
