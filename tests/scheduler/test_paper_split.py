"""Figures 3 and 4 of Nexus (SOSP'19): the best split of a pipeline follows the fan-out."""

import pytest

from nexus.core.profile import Profile
from nexus.core.query import Query, Stage
from nexus.scheduler.settings import SplitSettings, StageCost
from nexus.scheduler.split import split_query
from nexus.scheduler.stage_cost import StageOption
from nexus.scheduler.stage_rates import stage_rates

QUERY = Query(
    name="pipeline",
    slo_us=200_000,
    stages=(Stage(name="x", model="X"), Stage(name="y", model="Y", after=("x",))),
)
FIGURE_3 = {"X": {40: 200, 50: 250, 60: 300}, "Y": {40: 300, 50: 400, 60: 500}}


def figure_3_profile(model: str) -> Profile:
    """Batches of the figure's throughputs, all times doubled: 50 ms at 250 r/s is 12.5 items."""
    rows = {2 * ms * rate // 1000: 2 * ms * 1000 for ms, rate in FIGURE_3[model].items()}
    latencies = [
        rows[min(row for row in rows if row >= batch)] for batch in range(1, max(rows) + 1)
    ]
    return Profile(model=model, device="gpu", latencies_us=tuple(latencies))


OPTIONS = {
    stage.name: [StageOption(profile=figure_3_profile(stage.model), batch_cap=64)]
    for stage in QUERY.stages
}
PLAIN = SplitSettings(segments=10, cost=StageCost.PLAIN)


@pytest.mark.parametrize(
    ("fan_out", "best_ms", "throughput"),
    [(0.1, (60, 40), 272.7), (1, (50, 50), 153.8), (10, (40, 60), 40.0)],
)
def test_paper_split_flips_with_the_fan_out(
    fan_out: float, best_ms: tuple[int, int], throughput: float
) -> None:
    rates = stage_rates(QUERY, 1000.0, {"y": fan_out})
    split = split_query(QUERY, rates, OPTIONS, PLAIN)
    assert (split.budgets_us["x"] // 2000, split.budgets_us["y"] // 2000) == best_ms
    assert 1000.0 / split.cost == pytest.approx(throughput, abs=0.05)
