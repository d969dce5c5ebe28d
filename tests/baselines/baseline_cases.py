"""Small situations and items for tests of baseline policies."""

from collections import deque

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.query import Query, Stage
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import (
    Network,
    Scenario,
    ScenarioModel,
    ScenarioQuery,
    ScenarioSession,
)
from nexus.simulator.baselines.item import Item

GPU = "gpu"


def item(due_us: int, line: int = 0) -> Item:
    return Item(line, 0, due_us, due_us)


def queue(*due_us: int) -> "deque[Item]":
    return deque(item(due) for due in due_us)


def model(
    name: str, alpha_us: float, beta_us: float, *, pre_us: int = 0, post_us: int = 0
) -> ScenarioModel:
    profile = linear_profile(name, GPU, alpha_us, beta_us, 64)
    timed = type(profile)(
        model=name,
        device=GPU,
        latencies_us=profile.latencies_us,
        preprocess_us=pre_us,
        postprocess_us=post_us,
    )
    return ScenarioModel(name=name, profiles={GPU: timed}, max_batch=64)


def session(name: str, slo_us: int, rate: float) -> ScenarioSession:
    declared = Session(model=name, slo_us=slo_us, expected_rate=rate)
    return ScenarioSession(session=declared, rate=rate)


def mixed(devices: int = 4, seconds: int = 2) -> Scenario:
    """Two sessions and a query, on a network; full batches back to back would take 1.6 devices."""
    query = Query(
        name="scene",
        slo_us=300_000,
        expected_rate=160.0,
        stages=(
            Stage(name="find", model="detector"),
            Stage(name="name", model="classifier", after=("find",), fan_out=2.0),
        ),
    )
    return Scenario(
        name="mixed",
        devices=(DeviceSpec(type=GPU, count=devices),),
        models=(
            model("classifier", 750, 7_960, pre_us=1_000, post_us=100),
            model("detector", 2_590, 14_900, pre_us=2_000),
            model("small", 220, 3_740),
        ),
        sessions=(session("classifier", 80_000, 800.0), session("small", 50_000, 600.0)),
        queries=(ScenarioQuery(query=query, rate=160.0),),
        duration_us=seconds * US_PER_S,
        network=Network(delay_us=300),
        frontends=2,
    )
