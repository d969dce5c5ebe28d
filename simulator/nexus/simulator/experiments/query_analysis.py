"""A two-stage query on eight devices: what analysing queries is worth (the paper's Figure 17).

SSD, then Inception on every object found: gamma of them a frame. Both profiles are inferred from
the paper's rates without query analysis (inferred_profiles.py). With two stages every useful split
can be tried, so the best that analysis could find is known, too.
"""

from collections.abc import Iterator, Sequence

from nexus.core.device import DeviceSpec
from nexus.core.query import Query, Stage
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Arrivals, FanOut, Scenario, ScenarioQuery
from nexus.simulator.baselines import ArrangeSettings, NexusParts
from nexus.simulator.baselines.situation import Splits
from nexus.simulator.experiments.comparison import (
    Case,
    ExperimentSettings,
    Row,
    arranged_runner,
    compare,
    highest,
    highest_of,
)
from nexus.simulator.experiments.inferred_profiles import (
    WAIT_FACTOR,
    copies_points,
    even_split_points,
    inferred_line,
)
from nexus.simulator.experiments.one_device import COPIES_PAPER, COPIES_SLO_MS
from nexus.simulator.experiments.published import (
    INCEPTION_BATCH_1_MS,
    SSD_BATCH_1_MS,
    linear_model,
)
from nexus.simulator.report import SimulationReport

DEVICE = "1080ti"
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
BEST_SPLIT = "nexus-paper, best split"
"""Not a policy that decides: the best of all splits tried, for comparison."""
FEW_OBJECTS = 0.1
"""The fan-out whose even-split rates tell what SSD costs: Inception has little part in them."""
SSD, INCEPTION = "ssd", "inception"
DETECT, CLASSIFY = "detect", "classify"

INCEPTION_MS = inferred_line(
    INCEPTION_BATCH_1_MS,
    copies_points({n: nexus for n, (nexus, _, _) in COPIES_PAPER.items()}, COPIES_SLO_MS),
)
"""(alpha, beta) of Inception, from Table 1 and Figure 14a."""
SSD_MS = inferred_line(
    SSD_BATCH_1_MS,
    even_split_points(
        {slo_ms: even for (fan_out, slo_ms), (even, _) in PAPER.items() if fan_out == FEW_OBJECTS},
        DEVICES,
        FEW_OBJECTS,
        INCEPTION_MS,
    ),
)
"""(alpha, beta) of SSD, from section 2 and the even-split rates of Figure 17."""


def query_analysis(fan_out: float, slo_ms: float) -> Scenario:
    """SSD -> Inception x ``fan_out``: as many objects in every frame, or in one of 1 / fan_out.

    The paper gives no distribution of its gamma; arrivals are uniform, so this is as even.
    """
    query = Query(
        name="detect-classify",
        slo_us=us_from_ms(slo_ms),
        expected_rate=RATE,
        stages=(
            Stage(name=DETECT, model=SSD),
            Stage(
                name=CLASSIFY,
                model=INCEPTION,
                after=(DETECT,),
                fan_out=fan_out,
                fan_out_max=FAN_OUT_MAX,
            ),
        ),
    )
    return Scenario(
        name=f"query-analysis-{fan_out:g}-{slo_ms:g}",
        devices=(DeviceSpec(type=DEVICE, count=DEVICES),),
        models=(
            linear_model(SSD, SSD_MS, device=DEVICE),
            linear_model(INCEPTION, INCEPTION_MS, device=DEVICE),
        ),
        queries=(
            ScenarioQuery(
                query=query,
                rate=RATE,
                arrivals=Arrivals(kind="uniform"),
                fan_outs={CLASSIFY: FanOut(kind="fixed")},
            ),
        ),
    )


def query_analysis_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = POLICIES,
    fan_outs: Sequence[float] = FAN_OUTS,
    slos_ms: Sequence[float] = SLOS_MS,
) -> list[Row]:
    """Every fan-out and SLO; ratios to the even split. ``policies`` may name ``BEST_SPLIT``."""
    cases = [
        Case(
            name=case_name(fan_out, slo_ms),
            scenario=query_analysis(fan_out, slo_ms),
            paper=dict(zip(POLICIES, PAPER[fan_out, slo_ms], strict=True)),
        )
        for fan_out in fan_outs
        for slo_ms in slos_ms
    ]
    return compare("query analysis", cases, policies, settings, against=POLICIES[0], find=_find)


def case_name(fan_out: float, slo_ms: float) -> str:
    """What the rows of a case call it."""
    return f"gamma={fan_out:g}, SLO {slo_ms:g} ms"


def useful_splits(scenario: Scenario) -> Iterator[Splits]:
    """A split for every batch of the first stage that leaves the second room for one item.

    A budget between those of two batch sizes only takes from the second stage.
    """
    (entry,) = scenario.queries
    slo_us = entry.query.slo_us
    first, second = (
        next(profile.latencies_us for profile in model.profiles.values())
        for model in scenario.models
    )
    for latency_us in first:
        budget_us = WAIT_FACTOR * latency_us
        if budget_us + WAIT_FACTOR * second[0] <= slo_us:
            yield {entry.query.name: {DETECT: budget_us, CLASSIFY: slo_us - budget_us}}


def _find(case: Case, policy: str, settings: ExperimentSettings) -> SimulationReport | None:
    if policy != BEST_SPLIT:
        return highest(case, policy, settings)
    reports = [_with_split(case, split, settings) for split in useful_splits(case.scenario)]
    return max(filter(None, reports), key=lambda report: report.goodput, default=None)


def _with_split(case: Case, split: Splits, settings: ExperimentSettings) -> SimulationReport | None:
    """What the paper's policy achieves with this split."""
    arrangement = NexusParts().arrange_split(case.scenario, split, ArrangeSettings())
    simulate = arranged_runner(arrangement, BEST_SPLIT, settings)
    return highest_of(case.scenario, simulate, settings)
