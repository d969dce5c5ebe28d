"""Seven applications, twelve models, sixteen devices: how near to the optimum (paper section 7.4).

The applications have the shapes of the paper's Table 4: one to five stages. What they run is not
published model by model; every stage gets a model of comparable weight from SHEPHERD's table.
"""

from collections.abc import Mapping
from dataclasses import replace

from nexus.core.device import DeviceSpec
from nexus.core.query import Query, Stage
from nexus.core.units import us_from_ms
from nexus.scheduler.plan_scenario import workload_of
from nexus.scheduler.planner import lower_bound, make_plan
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioModel, ScenarioQuery
from nexus.scheduler.settings import NEXUS
from nexus.simulator.experiments.published import LENET_SIX_MS, V100, V100_MS, linear_model

DEVICES = 16
BATCH_MAX = 32
"""Where the paper measures what batching gains (section 2). The bound counts on full batches, and a
line l(b) = alpha b + beta grows ever more efficient: it must end where real profiles flatten."""
BOUND = 9.8
"""Devices' worth of load, in full batches back to back: the paper's."""
PAPER_SHARE = 0.84
"""9.8 / 11.7 devices (section 7.4)."""

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
