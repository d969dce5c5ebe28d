"""The five real models on the real video, with real weights, outside of any cluster."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from nexus.demo.street.camera import Camera
from nexus.demo.street.report import StreetReport
from nexus.demo.street.street import StreetSettings, run_street
from tests.demo.direct_client import (
    DirectClient,
    DirectModel,
    missing_weights,
    street_documents,
)

FRAMES = 12
RATE = 2.0
MISSING = missing_weights()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "the weights are there")


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, DirectModel]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {name: DirectModel(model) for name, model in street_documents().models.items()}
    torch.set_num_threads(threads)


@dataclass
class StillClock:
    """Time stands still, so the run never sleeps: every frame is due long ago."""

    asked: int = field(default=0)

    def now_us(self) -> int:
        self.asked += 1
        return 0 if self.asked == 1 else 10**12


async def test_street_models_see_what_is_there(
    models: dict[str, DirectModel], tmp_path: Path
) -> None:
    client = DirectClient(street_documents().query, models)
    png = tmp_path / "street.png"
    settings = StreetSettings(frame_rate=RATE, duration_s=FRAMES / RATE, png=png)
    updates: list[StreetReport] = []
    report = await run_street(client, settings, updates.append, StillClock())

    assert report.in_time == report.offered == FRAMES
    assert report.read_right_share >= 0.9
    assert report.objects["person"] >= 3
    assert report.objects["car"] >= 3
    assert report.objects["bicycle"] >= 1
    # The man in the suit and the cyclist are two, however often each is seen.
    assert 2 <= report.people <= 4
    assert {"minivan", "bicycle-built-for-two", "moped", "motor scooter"} & set(report.vehicles)
    assert {stage.stage for stage in report.stages} == {
        "detect",
        "person",
        "vehicle",
        "text",
        "read",
    }
    with Image.open(png) as picture:
        assert picture.size == (1280, 544)
    assert len(updates) == 2 * FRAMES


def test_street_models_read_the_stamp_letter_by_letter(models: dict[str, DirectModel]) -> None:
    right = 0
    # A frame every 0.7 s: another clock and another scene each time.
    for frame in islice(Camera(1 / 0.7).frames(), FRAMES):
        items, _ = models["text-detector"](frame.content)
        regions = tuple(f.region for f in items[0].findings if f.region)
        lines, _ = models["text-recognizer"](frame.content, regions)
        right += frame.text in [line.findings[0].label for line in lines]
    assert right >= 0.9 * FRAMES
