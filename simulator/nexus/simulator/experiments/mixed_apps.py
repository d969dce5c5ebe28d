"""Seven applications, twelve models, sixteen devices: how near to the optimum (paper section 7.4).

The applications have the shapes of the paper's Table 4: one to five stages. What they run is not
published model by model; every stage gets a model of comparable weight from SHEPHERD's table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nexus.core.device import DeviceSpec
from nexus.core.query import Query, Stage
from nexus.core.units import US_PER_S, us_from_ms
from nexus.scheduler.plan_scenario import workload_of
from nexus.scheduler.planner import lower_bound, make_plan
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioModel, ScenarioQuery
from nexus.scheduler.settings import NEXUS
from nexus.simulator.baselines import ArrangeSettings, simulate_baseline
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import LENET_SIX_MS, V100, V100_MS, linear_model
from nexus.simulator.simulated_cluster import SimulationSettings

DEVICES = 16
BATCH_MAX = 32
"""Where the paper measures what batching gains (section 2). The bound counts on full batches, and a
line l(b) = alpha b + beta grows ever more efficient: it must end where real profiles flatten."""
BOUND = 9.8
"""Devices' worth of load, in full batches back to back: the paper's."""
PAPER_SHARE = 0.84
"""9.8 / 11.7 devices (section 7.4)."""
POLICIES = ("nexus-paper",)

MODELS: Mapping[str, tuple[float, float]] = {
    "digits": LENET_SIX_MS,
    "icon": V100_MS["resnet50"],
    "detector": V100_MS["r-cnn"],
    "car": V100_MS["googlenet"],
    "face": V100_MS["resnet34"],
    "pose": V100_MS["resnest50"],
    "gaze": V100_MS["resnet18"],
    "age": V100_MS["resnet18"],
    "sex": V100_MS["resnet18"],
    "text-detect": V100_MS["densenet121"],
    "text-read": V100_MS["inception-v3"],
    "logo": V100_MS["resnet101"],
}


def _stage(name: str, model: str, after: str = "", fan_out: float = 1.0) -> Stage:
    return Stage(name=name, model=model, after=(after,) if after else (), fan_out=fan_out)


APPLICATIONS: Mapping[str, tuple[float, tuple[Stage, ...]]] = {
    "game": (100.0, (_stage("icon", "icon"), _stage("digits", "digits"))),
    "traffic": (
        400.0,
        (
            _stage("detect", "detector"),
            _stage("car", "car", "detect", 2.0),
            _stage("face", "face", "detect", 1.0),
        ),
    ),
    "dance": (300.0, (_stage("person", "detector"), _stage("pose", "pose", "person", 1.5))),
    "billboard": (
        500.0,
        (
            _stage("person", "detector"),
            _stage("face", "face", "person", 1.5),
            _stage("gaze", "gaze", "face"),
            _stage("age", "age", "face"),
            _stage("sex", "sex", "face"),
        ),
    ),
    "bike": (
        600.0,
        (
            _stage("object", "detector"),
            _stage("text", "text-detect", "object", 0.8),
            _stage("read", "text-read", "text"),
            _stage("track", "icon", "read"),
        ),
    ),
    "amber": (
        600.0,
        (
            _stage("object", "detector"),
            _stage("make", "car", "object", 1.5),
            _stage("text", "text-detect", "make", 0.7),
            _stage("read", "text-read", "text"),
        ),
    ),
    "logo": (
        800.0,
        (
            _stage("person", "detector"),
            _stage("torso", "pose", "person", 1.5),
            _stage("logo", "logo", "torso", 0.7),
            _stage("text", "text-detect", "logo", 0.7),
            _stage("number", "text-read", "text"),
        ),
    ),
}
"""SLO in ms and stages; fan-outs are chosen."""


def mixed_apps(arrivals: str = "uniform", devices: int | None = DEVICES) -> Scenario:
    """All applications, each with a seventh of the load of ``BOUND`` devices."""
    models = tuple(linear_model(name, ms, batch_max=BATCH_MAX) for name, ms in MODELS.items())
    queries = tuple(
        _application(name, slo_ms, stages, models, arrivals)
        for name, (slo_ms, stages) in APPLICATIONS.items()
    )
    return Scenario(
        name="mixed-apps",
        devices=(DeviceSpec(type=V100, count=devices),),
        models=models,
        queries=queries,
    )


def mixed_apps_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = POLICIES,
    arrivals: Sequence[str] = ("uniform", "poisson"),
) -> list[Row]:
    """The highest rates on sixteen devices; ``share`` is to be compared with the paper's 0.84."""
    cases = [Case(name=kind, scenario=mixed_apps(kind)) for kind in arrivals]
    return compare("mixed applications", cases, policies, settings, against="nexus-paper")


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesRow:
    """What a plan for given rates needs, and how well it serves them."""

    arrivals: str
    devices: int
    bound: float
    share: float
    paper_share: float
    bad_fraction: float


def mixed_apps_devices(settings: ExperimentSettings, arrivals: str = "uniform") -> DevicesRow:
    """Devices that the paper's plan uses for ``BOUND`` devices' worth of load, and its bad rate."""
    scenario = replace(mixed_apps(arrivals), duration_us=round(settings.seconds * US_PER_S))
    report = simulate_baseline(
        scenario,
        "nexus-paper",
        SimulationSettings(seed=settings.seed, warmup_us=settings.warmup_us),
        arrange=ArrangeSettings(all_devices=False),
    )
    bound = sum(make_plan(workload_of(scenario), NEXUS).lower_bound.values())
    return DevicesRow(
        arrivals=arrivals,
        devices=len(report.devices),
        bound=bound,
        share=bound / len(report.devices),
        paper_share=PAPER_SHARE,
        bad_fraction=report.bad_fraction,
    )


def _application(
    name: str,
    slo_ms: float,
    stages: tuple[Stage, ...],
    models: tuple[ScenarioModel, ...],
    arrivals: str,
) -> ScenarioQuery:
    """The application at the rate that takes its share of ``BOUND`` devices."""
    query = Query(name=name, slo_us=us_from_ms(slo_ms), stages=stages)
    alone = Scenario(
        name=name,
        devices=(DeviceSpec(type=V100),),
        models=models,
        queries=(ScenarioQuery(query=query, rate=1.0),),
    )
    workload = workload_of(alone)
    cost = sum(lower_bound(make_plan(workload, NEXUS).loads, workload).values())
    rate = round(BOUND / len(APPLICATIONS) / cost, 1)
    return ScenarioQuery(
        query=replace(query, expected_rate=rate), rate=rate, arrivals=Arrivals(kind=arrivals)
    )
