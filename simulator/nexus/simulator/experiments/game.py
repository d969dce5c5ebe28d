"""The game application: twenty games, each frame six digits and an icon (the paper's Figure 10)."""

from collections.abc import Sequence

from nexus.core.device import DeviceSpec
from nexus.core.query import Query, Stage
from nexus.core.units import BYTES_PER_MB, us_from_ms
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioQuery
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import (
    GAME_PREPROCESS_MS,
    LENET_SIX_MS,
    RESNET50_1080TI_MS,
    V100,
    linear_model,
    sharing_prefix,
    zipf,
)

GAMES = 20
DEVICES = 16
SLO_MS = 50.0
ZIPF_EXPONENT = 0.9
RATE = 2000.0
MEMORY_MB = 11_000
"""A 1080Ti's."""
RESNET_MB = 1_000
LENET_MB = 100
SUFFIX_MS = 0.05
"""A game's own last layers: chosen. Figure 15 loses 7 % of throughput from 1 to 10 variants."""
SUFFIX_MB = 10
PAPER = {
    "nexus-paper": 4120,
    "nexus-paper-without-prefix": 3628,
    "clipper": 440,
    "tf-serving": 324,
}
"""Requests/s (Figure 10). Its further ablations are cumulative: no single one compares."""
POLICIES = (
    "nexus-paper",
    "nexus-paper-without-prefix",
    "nexus-paper-without-squishy",
    "nexus-paper-without-early-drop",
    "nexus-paper-without-overlap",
    "batch-oblivious",
    "clipper",
    "tf-serving",
)


def game(arrivals: str = "uniform") -> Scenario:
    """Twenty games with Zipf rates; every game has models of its own, which share a prefix."""
    resnets = [
        linear_model(
            f"resnet-{game:02d}",
            RESNET50_1080TI_MS,
            memory_mb=RESNET_MB,
            preprocess_ms=GAME_PREPROCESS_MS,
        )
        for game in range(GAMES)
    ]
    lenets = [
        linear_model(f"lenet-{game:02d}", LENET_SIX_MS, memory_mb=LENET_MB) for game in range(GAMES)
    ]
    models = (
        *sharing_prefix(resnets, "resnet-group", suffix_ms=SUFFIX_MS, suffix_mb=SUFFIX_MB),
        *sharing_prefix(lenets, "lenet-group", suffix_ms=0.0, suffix_mb=SUFFIX_MB),
    )
    queries = tuple(
        ScenarioQuery(
            query=Query(
                name=f"game-{game:02d}",
                slo_us=us_from_ms(SLO_MS),
                expected_rate=RATE * share,
                stages=(
                    Stage(name="icon", model=f"resnet-{game:02d}"),
                    Stage(name="digits", model=f"lenet-{game:02d}"),
                ),
            ),
            rate=RATE * share,
            arrivals=Arrivals(kind=arrivals),
        )
        for game, share in enumerate(zipf(GAMES, ZIPF_EXPONENT))
    )
    return Scenario(
        name="game",
        devices=(DeviceSpec(type=V100, count=DEVICES, memory_bytes=MEMORY_MB * BYTES_PER_MB),),
        models=models,
        queries=queries,
    )


def game_rows(settings: ExperimentSettings, policies: Sequence[str] = POLICIES) -> list[Row]:
    """Ratios to the complete Nexus."""
    case = Case(name="game", scenario=game(), paper=PAPER)
    return compare("game", [case], policies, settings, against="nexus-paper")
