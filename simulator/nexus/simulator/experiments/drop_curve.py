"""Early against lazy drop on one device (the paper's Figures 5 and 9).

SLO 100 ms, l(b) = alpha b + beta with 25 / l(25) = 500 items/s and 2 l(25) = 100 ms.
"""

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Scenario, ScenarioSession
from nexus.simulator.experiments.published import V100, linear_model

SLO_MS = 100.0
RATE = 450.0


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
