"""Early against lazy drop on one device (the paper's Figures 5 and 9).

SLO 100 ms, l(b) = alpha b + beta with 25 / l(25) = 500 items/s and 2 l(25) = 100 ms.
"""

from collections.abc import Sequence

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Scenario, ScenarioSession
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import V100, linear_model

ALPHAS_MS = (1.0, 1.2, 1.4, 1.6, 1.8, 1.9)
SLO_MS = 100.0
RATE = 450.0
POLICIES = ("nexus-paper-without-early-drop", "nexus-paper")
PAPER = {
    1.0: (355, 445),
    1.2: (390, 452),
    1.4: (385, 458),
    1.6: (415, 465),
    1.8: (450, 478),
    1.9: (465, 483),
}
"""Items/s with lazy and with early drop, read off Figure 9."""


def drop_curve(alpha_ms: float) -> Scenario:
    """One session on one device; Poisson arrivals at the rate of Figure 5."""
    model = linear_model("model", (alpha_ms, 50.0 - 25.0 * alpha_ms))
    session = Session(model="model", slo_us=us_from_ms(SLO_MS), expected_rate=RATE)
    return Scenario(
        name=f"drop-{alpha_ms:g}",
        devices=(DeviceSpec(type=V100, count=1),),
        models=(model,),
        sessions=(ScenarioSession(session=session, rate=RATE),),
    )


def drop_curve_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = POLICIES,
    alphas_ms: Sequence[float] = ALPHAS_MS,
) -> list[Row]:
    """Every alpha; ratios to lazy dropping."""
    cases = [
        Case(
            name=f"alpha {alpha_ms:g} ms",
            scenario=drop_curve(alpha_ms),
            paper=dict(zip(POLICIES, PAPER[alpha_ms], strict=True)),
        )
        for alpha_ms in alphas_ms
    ]
    return compare("drop rules", cases, policies, settings, against=POLICIES[0])
