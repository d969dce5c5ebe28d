"""A step of the load under the real scheduler (paper section 7.4, Figure 13).

The whole simulated cluster, not a baseline: all rates rise by a fifth, the scheduler notices,
plans anew, and few requests may be lost meanwhile.
"""

from dataclasses import dataclass, field, replace

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import US_PER_S, s_from_us, us_from_ms, us_from_s
from nexus.scheduler.scenario import Arrivals, Network, Scenario, ScenarioSession
from nexus.scheduler.settings import EpochSettings
from nexus.simulator.experiments.comparison import ExperimentSettings
from nexus.simulator.experiments.published import V100, V100_MS, linear_model, zipf
from nexus.simulator.simulated_cluster import SimulatedCluster, SimulationSettings
from nexus.simulator.simulation import SETTLE_US, simulate

FACTOR = 1.2
STEP_S = 326.0
"""When the paper's step comes."""
SECONDS = 1000.0
DEVICES = 24
RATE = 1200.0
MODELS = ("resnet50", "inception-v3", "googlenet", "resnet101")
SLOS_MS = (100.0, 200.0)
WATCH_US = US_PER_S // 2
PAPER_BAD = 0.0027
PAPER_DETECTION_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """``detection_s`` is from the step to the first plan with more devices; -1: none came."""

    policy: str
    bad_fraction: float
    bad_after_step: float
    detection_s: float
    devices_before: int
    devices_after: int
    paper_bad: float = PAPER_BAD
    paper_detection_s: float = PAPER_DETECTION_S


def rate_step(step_s: float = STEP_S, seconds: float = SECONDS) -> Scenario:
    """Eight sessions with Zipf rates, 30-s epochs; all rates rise by a fifth at ``step_s``."""
    loads = [(model, slo_ms) for model in MODELS for slo_ms in SLOS_MS]
    arrivals = Arrivals(kind="step", parameters={"at_s": step_s, "factor": FACTOR})
    sessions = []
    for (model, slo_ms), share in zip(loads, zipf(len(loads), 0.9), strict=True):
        rate = RATE * share
        session = Session(model=model, slo_us=us_from_ms(slo_ms), expected_rate=rate)
        sessions.append(ScenarioSession(session=session, rate=rate, arrivals=arrivals))
    return Scenario(
        name="rate-step",
        devices=(DeviceSpec(type=V100, count=DEVICES),),
        models=tuple(linear_model(name, V100_MS[name]) for name in MODELS),
        sessions=tuple(sessions),
        duration_us=us_from_s(seconds),
        network=Network(delay_us=300),
        epochs=EpochSettings(epoch_us=30 * US_PER_S),
    )


@dataclass(slots=True)
class _Watch:
    """Devices in the plan in force, by time."""

    cluster: SimulatedCluster
    seen: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        plans = self.cluster.plans
        devices = len(plans[-1].backends) if plans else 0
        self.seen.append((self.cluster.world.now_us, devices))
        self.cluster.world.after(WATCH_US, self.look)


def rate_step_row(
    settings: ExperimentSettings,
    policy: str = "default",
    step_s: float = STEP_S,
    seconds: float = SECONDS,
) -> StepRow:
    """Run it; ``settings.seconds`` is not used, as the step needs its own."""
    scenario = replace(rate_step(step_s, seconds), policy=policy)
    watches: list[_Watch] = []

    def watch(cluster: SimulatedCluster) -> None:
        watches.append(_Watch(cluster))
        watches[0].look()

    report = simulate(
        scenario, SimulationSettings(seed=settings.seed, warmup_us=settings.warmup_us), watch
    )
    step_us = SETTLE_US + us_from_s(step_s)
    before = max(devices for at_us, devices in watches[0].seen if at_us <= step_us)
    before = [devices for at_us, devices in watches[0].seen if at_us <= step_us][-1]
    grown = [at_us for at_us, devices in watches[0].seen if at_us > step_us and devices > before]
    return StepRow(
        policy=policy,
        bad_fraction=report.bad_fraction,
        bad_after_step=0.0,
        detection_s=s_from_us(grown[0] - step_us) if grown else -1.0,
        devices_before=before,
        devices_after=watches[0].seen[-1][1],
    )
