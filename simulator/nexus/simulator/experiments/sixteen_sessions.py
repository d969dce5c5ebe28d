"""Sixteen sessions on eight devices: what squishy packing is worth (the paper's Figure 16)."""

from collections.abc import Sequence

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioSession
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import (
    V100,
    V100_MS,
    VGG_16_TITAN_X_MS,
    VGG_S_TITAN_X_MS,
    linear_model,
    zipf,
)

SESSIONS = 16
DEVICES = 8
ZIPF_EXPONENT = 0.9
ZIPF_SLO_MS = 100.0
RATE = 2000.0
"""Requests/s of all sessions; searches scale it."""
MIXED_SLOS_MS = tuple(50.0 + 10.0 * index for index in range(SESSIONS))
"""50 to 200 ms: the paper's range, evenly."""
ARCHITECTURES = {
    "resnet18": V100_MS["resnet18"],
    "resnet34": V100_MS["resnet34"],
    "resnet50": V100_MS["resnet50"],
    "resnet101": V100_MS["resnet101"],
    "googlenet": V100_MS["googlenet"],
    "inception-v3": V100_MS["inception-v3"],
    "vgg-s": VGG_S_TITAN_X_MS,
    "vgg-16": VGG_16_TITAN_X_MS,
}
"""Published ones whose single input is not much slower than on the paper's GPUs (its Table 1 has 6
to 7 ms for ResNet-50 and Inception): with an SLO of 50 ms two of them can share a device at all."""
ARCHITECTURE_SLOS_MS = (50.0, 100.0)
ORDER_STRIDE = 7
"""Sessions are declared in steps of 7, so that their order says nothing about rate or SLO: the
batch-oblivious allotment goes by it."""
PAPER = {
    "mixed SLO, inception-v3": 1.11,
    "mixed SLO, resnet50": 1.23,
    "Zipf rates, inception-v3": 1.54,
    "Zipf rates, resnet50": 1.64,
    "eight architectures": 1.14,
}
"""Squishy over batch-oblivious (Figure 16)."""
POLICIES = ("batch-oblivious", "nexus-paper")

Loads = Sequence[tuple[str, float, float]]
"""(architecture, SLO in ms, share of the rate) of every session."""


def sixteen_sessions(name: str, loads: Loads, arrivals: str = "uniform") -> Scenario:
    """Sixteen sessions, each with a model of its own, as the paper's."""
    models, sessions = [], []
    for position in range(len(loads)):
        index = position * ORDER_STRIDE % len(loads)
        architecture, slo_ms, share = loads[index]
        model = linear_model(f"{architecture}-{index:02d}", ARCHITECTURES[architecture])
        rate = RATE * share
        session = Session(model=model.name, slo_us=us_from_ms(slo_ms), expected_rate=rate)
        models.append(model)
        sessions.append(
            ScenarioSession(session=session, rate=rate, arrivals=Arrivals(kind=arrivals))
        )
    return Scenario(
        name=name,
        devices=(DeviceSpec(type=V100, count=DEVICES),),
        models=tuple(models),
        sessions=tuple(sessions),
    )


def mixed_slo_loads(architecture: str) -> Loads:
    """Equal rates, SLOs from 50 to 200 ms."""
    return [(architecture, slo_ms, 1 / SESSIONS) for slo_ms in MIXED_SLOS_MS]


def zipf_loads(architecture: str) -> Loads:
    """Equal SLOs, rates by Zipf's law."""
    return [(architecture, ZIPF_SLO_MS, share) for share in zipf(SESSIONS, ZIPF_EXPONENT)]


def architecture_loads() -> Loads:
    """Eight architectures with two SLOs each, equal rates."""
    return [(name, slo_ms, 1 / 16) for name in ARCHITECTURES for slo_ms in ARCHITECTURE_SLOS_MS]


def sixteen_sessions_scenarios() -> dict[str, Scenario]:
    """All of them, by the names of the paper's columns."""
    return {
        "mixed SLO, inception-v3": sixteen_sessions(
            "sixteen-mixed-slo-inception", mixed_slo_loads("inception-v3")
        ),
        "mixed SLO, resnet50": sixteen_sessions(
            "sixteen-mixed-slo-resnet", mixed_slo_loads("resnet50")
        ),
        "Zipf rates, inception-v3": sixteen_sessions(
            "sixteen-zipf-inception", zipf_loads("inception-v3")
        ),
        "Zipf rates, resnet50": sixteen_sessions("sixteen-zipf-resnet", zipf_loads("resnet50")),
        "eight architectures": sixteen_sessions("sixteen-architectures", architecture_loads()),
    }


def sixteen_sessions_rows(
    settings: ExperimentSettings, policies: Sequence[str] = POLICIES
) -> list[Row]:
    """Every column; ratios to the batch-oblivious scheduler."""
    cases = [
        Case(
            name=name,
            scenario=scenario,
            paper={"batch-oblivious": 1.0, "nexus-paper": PAPER[name]},
        )
        for name, scenario in sixteen_sessions_scenarios().items()
    ]
    return compare("sixteen sessions", cases, policies, settings, against="batch-oblivious")
