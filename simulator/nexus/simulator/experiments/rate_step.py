"""A step of the load under the real scheduler (paper section 7.4, Figure 13).

The whole simulated cluster, not a baseline: all rates rise by a fifth, the scheduler notices,
plans anew, and few requests may be lost meanwhile.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import US_PER_S, s_from_us, us_from_ms, us_from_s
from nexus.scheduler.scenario import Arrivals, Network, Scenario, ScenarioSession
from nexus.scheduler.settings import EpochSettings
from nexus.simulator.experiments.comparison import ExperimentSettings
from nexus.simulator.experiments.published import V100, V100_MS, linear_model, zipf
from nexus.simulator.report import SimulationReport
from nexus.simulator.simulated_cluster import SimulatedCluster, SimulationSettings
from nexus.simulator.simulation import Simulation

FACTOR = 1.2
STEP_S = 326.0
"""When the paper's step comes."""
SECONDS = 1000.0
DEVICES = 24
RATE = 1200.0
MODELS = ("resnet101", "r-cnn", "resnet152", "inception-v3")
SLOS_MS = (200.0, 400.0)
WATCH_US = US_PER_S // 2
GROWTH = 1.05
"""A plan that covers this many times the rates planned before has noticed the step."""
AFTER_US = 60 * US_PER_S
PAPER_BAD = 0.0027
PAPER_DETECTION_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """``detection_s`` is from the step to the first plan that covers more; -1: none came.

    ``bad_after_step`` is of the requests of the 60 s after the step.
    """

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


class _Watch:
    """What the plan in force covers, time after time."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        """Look from now on."""
        self.seen: list[tuple[int, int, float]] = []
        self._cluster = cluster
        self._look()

    def detection_s(self, step_us: int) -> float:
        """From the step to the first plan that covers more; -1: none came."""
        before = self.before(step_us)[2]
        for at_us, _, rate in self.seen:
            if at_us > step_us and rate > GROWTH * before:
                return s_from_us(at_us - step_us)
        return -1.0

    def before(self, step_us: int) -> tuple[int, int, float]:
        """Time, devices and items/s of the plan in force at the step."""
        return [entry for entry in self.seen if entry[0] <= step_us][-1]

    def _look(self) -> None:
        plan = self._cluster.plans[-1]
        rate = sum(place.rate for backend in plan.backends for place in backend.placements)
        self.seen.append((self._cluster.world.now_us, len(plan.backends), rate))
        self._cluster.world.after(WATCH_US, self._look)


def rate_step_row(
    settings: ExperimentSettings,
    policy: str = "default",
    step_s: float = STEP_S,
    seconds: float = SECONDS,
) -> StepRow:
    """Run it; ``settings.seconds`` is not used, as the step needs its own."""
    scenario = replace(rate_step(step_s, seconds), policy=policy)
    simulation = Simulation(
        scenario, SimulationSettings(seed=settings.seed, warmup_us=settings.warmup_us)
    )
    simulation.settle()
    watch = _Watch(simulation.cluster)
    simulation.offer()
    simulation.finish()
    report = simulation.report()
    step_us = simulation.from_us + us_from_s(step_s)
    return StepRow(
        policy=policy,
        bad_fraction=report.bad_fraction,
        bad_after_step=_bad_after(report, us_from_s(step_s) - settings.warmup_us),
        detection_s=watch.detection_s(step_us),
        devices_before=watch.before(step_us)[1],
        devices_after=watch.seen[-1][1],
    )


def _bad_after(report: SimulationReport, step_us: int) -> float:
    """The bad share of the requests sent in the 60 s after ``step_us`` of the counted time."""

    def within(times_us: Iterable[int]) -> int:
        return sum(step_us <= at_us < step_us + AFTER_US for at_us in times_us)

    sent = sum(within(account.sent_at_us) for account in report.accounts.values())
    good = sum(within(account.good_at_us) for account in report.accounts.values())
    return 1 - good / sent if sent else 0.0
