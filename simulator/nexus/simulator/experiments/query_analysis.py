"""A two-stage query on eight devices: what analysing queries is worth (the paper's Figure 17).

SSD, then Inception on every object found: gamma of them a frame.
"""

from collections.abc import Sequence

from nexus.core.device import DeviceSpec
from nexus.core.query import Query, Stage
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioQuery
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import SSD_MS, V100, V100_MS, linear_model

DEVICES = 8
FAN_OUTS = (0.1, 1.0, 10.0)
SLOS_MS = (300.0, 400.0, 500.0)
FAN_OUT_MAX = 64
RATE = 200.0
PAPER = {
    (0.1, 300.0): (255, 310),
    (0.1, 400.0): (275, 335),
    (0.1, 500.0): (305, 347),
    (1.0, 300.0): (252, 310),
    (1.0, 400.0): (272, 335),
    (1.0, 500.0): (310, 355),
    (10.0, 300.0): (135, 210),
    (10.0, 400.0): (183, 218),
    (10.0, 500.0): (167, 232),
}
"""Queries/s with the even split and with query analysis (Figure 17)."""
POLICIES = ("nexus-paper-without-query-analysis", "nexus-paper")


def query_analysis(fan_out: float, slo_ms: float) -> Scenario:
    """SSD -> Inception x ``fan_out``."""
    query = Query(
        name="detect-classify",
        slo_us=us_from_ms(slo_ms),
        expected_rate=RATE,
        stages=(
            Stage(name="detect", model="ssd"),
            Stage(
                name="classify",
                model="inception-v3",
                after=("detect",),
                fan_out=fan_out,
                fan_out_max=FAN_OUT_MAX,
            ),
        ),
    )
    return Scenario(
        name=f"query-analysis-{fan_out:g}-{slo_ms:g}",
        devices=(DeviceSpec(type=V100, count=DEVICES),),
        models=(
            linear_model("ssd", SSD_MS),
            linear_model("inception-v3", V100_MS["inception-v3"]),
        ),
        queries=(ScenarioQuery(query=query, rate=RATE, arrivals=Arrivals(kind="uniform")),),
    )


def query_analysis_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = POLICIES,
    fan_outs: Sequence[float] = FAN_OUTS,
    slos_ms: Sequence[float] = SLOS_MS,
) -> list[Row]:
    """Every fan-out and SLO; ratios to the even split."""
    cases = [
        Case(
            name=f"gamma={fan_out:g}, SLO {slo_ms:g} ms",
            scenario=query_analysis(fan_out, slo_ms),
            paper=dict(zip(POLICIES, PAPER[fan_out, slo_ms], strict=True)),
        )
        for fan_out in fan_outs
        for slo_ms in slos_ms
    ]
    return compare("query analysis", cases, policies, settings, against=POLICIES[0])
