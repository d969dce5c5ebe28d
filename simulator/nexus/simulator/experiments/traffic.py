"""The traffic application: SSD, then cars and faces (the paper's Figures 11 and 12)."""

from collections.abc import Sequence

from nexus.core.device import DeviceSpec
from nexus.core.query import Query, Stage
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioQuery
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import (
    CROP_PREPROCESS_MS,
    FRAME_PREPROCESS_MS,
    GOOGLENET_MS,
    SSD_MS,
    V100,
    VGG_FACE_PREPROCESS_MS,
    VGG_FACE_TITAN_X_MS,
    linear_model,
)

DEVICES = 16
SLO_MS = 400.0
RATE = 300.0
FAN_OUTS = {"non-rush": (1.5, 0.5), "rush": (8.0, 4.0)}
"""Cars and faces a frame. The paper does not publish them; these are chosen."""
PAPER = {
    "non-rush": {
        "nexus-paper": 534,
        "nexus-paper-without-query-analysis": 433,
        "clipper": 297,
        "tf-serving": 227,
    },
    "rush": {
        "nexus-paper": 264,
        "nexus-paper-without-query-analysis": 254,
        "clipper": 61,
        "tf-serving": 146,
    },
}
"""Queries/s (Figures 11 and 12)."""
POLICIES = (
    "nexus-paper",
    "nexus-paper-without-query-analysis",
    "nexus-paper-without-squishy",
    "nexus-paper-without-early-drop",
    "batch-oblivious",
    "clipper",
    "tf-serving",
)


def traffic(hour: str, arrivals: str = "uniform") -> Scenario:
    """Sixteen devices; ``hour`` is "non-rush" or "rush"."""
    cars, faces = FAN_OUTS[hour]
    query = Query(
        name="traffic",
        slo_us=us_from_ms(SLO_MS),
        expected_rate=RATE,
        stages=(
            Stage(name="detect", model="ssd"),
            Stage(name="car", model="googlenet-car", after=("detect",), fan_out=cars),
            Stage(name="face", model="vgg-face", after=("detect",), fan_out=faces),
        ),
    )
    return Scenario(
        name=f"traffic-{hour}",
        devices=(DeviceSpec(type=V100, count=DEVICES),),
        models=(
            linear_model("ssd", SSD_MS, preprocess_ms=FRAME_PREPROCESS_MS),
            linear_model("googlenet-car", GOOGLENET_MS, preprocess_ms=CROP_PREPROCESS_MS),
            linear_model("vgg-face", VGG_FACE_TITAN_X_MS, preprocess_ms=VGG_FACE_PREPROCESS_MS),
        ),
        queries=(ScenarioQuery(query=query, rate=RATE, arrivals=Arrivals(kind=arrivals)),),
    )


def traffic_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = POLICIES,
    hours: Sequence[str] = tuple(FAN_OUTS),
) -> list[Row]:
    """Both hours; ratios to the complete Nexus."""
    cases = [Case(name=hour, scenario=traffic(hour), paper=PAPER[hour]) for hour in hours]
    return compare("traffic", cases, policies, settings, against="nexus-paper")
