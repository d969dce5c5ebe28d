"""What may be declared and removed, and the documents that say so."""

from dataclasses import replace

import pytest

from nexus.core.cluster import Catalogue
from nexus.core.errors import (
    DocumentError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    RefusedError,
)
from nexus.core.model import EngineKind, Model
from nexus.core.plan import BackendPlan, Placement, Plan
from nexus.core.profile import Profile
from nexus.core.query import Query, Stage
from nexus.core.routing import RoutingTable, SessionRoutes
from nexus.core.session import Session
from nexus.core.tensor import DataType, TensorSpec
from nexus.scheduler import catalogue_rules
from nexus.scheduler.catalogue_rules import find, require_removable, with_resources
from nexus.scheduler.facts import facts_of
from nexus.scheduler.resources import parse_resources

MODEL = Model(name="m", engine=EngineKind.EMULATED)
PROFILE = Profile(model="m", device="v100", latencies_us=(1_000, 1_500))
SESSION = Session(model="m", slo_us=50_000, expected_rate=3)
QUERY = Query(name="q", slo_us=90_000, stages=(Stage(name="a", model="m"),))
CATALOGUE = Catalogue(models=(MODEL,), sessions=(SESSION,), queries=(QUERY,), profiles=(PROFILE,))


def test_catalogue_takes_models_and_what_names_them_in_one_call() -> None:
    merged = with_resources(Catalogue(), [SESSION, QUERY, PROFILE, MODEL])
    assert merged == CATALOGUE


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (SESSION, "session 'm@50ms': model 'm' is not declared"),
        (QUERY, "query 'q': stage 'a': model 'm' is not declared"),
        (PROFILE, "profile 'm/v100': model 'm' is not declared"),
    ],
)
def test_catalogue_refuses_what_names_an_unknown_model(
    resource: Session | Query | Profile, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        with_resources(Catalogue(), [resource])


def test_catalogue_takes_the_profile_of_a_prefix_group_and_nothing_else_of_it() -> None:
    member = replace(MODEL, parameters={"prefix_group": "group"})
    profile = replace(PROFILE, model="group")
    assert with_resources(Catalogue(), [member, profile]).profiles == (profile,)
    with pytest.raises(InvalidArgumentError, match="model 'group' is not declared"):
        with_resources(Catalogue(), [member, replace(SESSION, model="group")])


def test_catalogue_refuses_one_name_for_two_things() -> None:
    with pytest.raises(InvalidArgumentError, match="the name of a query and of a session"):
        with_resources(CATALOGUE, [Session(model="m", slo_us=9_000, name="q")])
    with pytest.raises(InvalidArgumentError, match="session name 'q/a' is not valid"):
        with_resources(CATALOGUE, [Session(model="m", slo_us=9_000, name="q/a")])


def test_catalogue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_rules, "RESOURCES_MAX", 1)
    with pytest.raises(RefusedError, match="2 resources of kind session are more than 1"):
        with_resources(CATALOGUE, [Session(model="m", slo_us=9_000)])


def test_catalogue_keeps_a_model_that_is_in_use() -> None:
    with pytest.raises(FailedPreconditionError, match="in use by session m@50ms, query q;"):
        require_removable(CATALOGUE, "model", "m")
    require_removable(CATALOGUE, "query", "q")
    require_removable(Catalogue(models=(MODEL,), profiles=(PROFILE,)), "model", "m")


def test_catalogue_finds_by_kind_and_name() -> None:
    assert find(CATALOGUE, "profile", "m/v100") == PROFILE
    with pytest.raises(NotFoundError, match="query 'x' is not declared"):
        find(CATALOGUE, "query", "x")


DOCUMENTS = """
kind: Model
name: m
engine: emulated
version: 2
max_batch: 8
parameters: {width: 416}
inputs: [{name: image, datatype: BYTES, shape: [-1]}]
---
kind: Session
model: m
slo_ms: 2.5
rate: 10
---
kind: Profile
model: m
device: v100
latency_ms: [1, 1.5]
preprocess_ms: 0.5
---
kind: Query
name: q
slo_ms: 90
stages:
  - {name: a, model: m}
  - {name: b, model: m, after: [a], each: [person], min_score: 0.4, fan_out_max: 8}
"""


def test_resources_are_read_in_the_units_of_people() -> None:
    model, session, profile, query = parse_resources(DOCUMENTS)
    assert isinstance(model, Model)
    assert (model.version, model.max_batch, model.parameters) == ("2", 8, {"width": "416"})
    assert model.inputs == (TensorSpec("image", DataType.BYTES, (-1,)),)
    assert session == Session(model="m", slo_us=2_500, expected_rate=10)
    assert profile == Profile(
        model="m", device="v100", latencies_us=(1_000, 1_500), preprocess_us=500
    )
    assert isinstance(query, Query)
    assert query.stage("b") == Stage(
        name="b", model="m", after=("a",), each=("person",), min_score=0.4, fan_out_max=8
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("name: x", "f:1: key 'kind' is missing: one of Model"),
        ("kind: Model\nname: x\nengine: jax", "f:3: engine: 'jax' is not one of torch, onnx"),
        ("kind: Model\nname: a/b\nengine: onnx", "model name 'a/b' is not valid"),
        ("kind: Model\nname: x\nengine: torch", "f:1: model 'x': engine torch needs 'network'"),
        ("kind: Profile\nmodel: m", "f:1: key 'device' is missing"),
        ("kind: Session\nmodel: m\nslo_ms: 1e9", "SLO 1e.09 ms is not in"),
        ("- 1", "f:1: expected a mapping, got a list"),
    ],
)
def test_resources_name_the_mistake(document: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        parse_resources(document, "f")


def test_resources_read_the_variants_of_a_session() -> None:
    text = "kind: Session\nmodel: m\nslo_ms: 50\nvariants: [small, tiny]"
    (session,) = parse_resources(text)
    assert session == Session(model="m", slo_us=50_000, variants=("small", "tiny"))
    with pytest.raises(DocumentError, match=r"f:1: session .m@50ms.: variants m must differ"):
        parse_resources("kind: Session\nmodel: m\nslo_ms: 50\nvariants: [m]", "f")


def test_catalogue_refuses_a_variant_that_is_not_there_or_not_alike() -> None:
    session = Session(model="m", slo_us=50_000, variants=("small",))
    with pytest.raises(InvalidArgumentError, match="variant: model 'small' is not declared"):
        with_resources(Catalogue(), [MODEL, session])
    other = replace(MODEL, name="small", inputs=(TensorSpec("x", DataType.BYTES, (-1,)),))
    with pytest.raises(InvalidArgumentError, match="variant 'small' has other inputs than model"):
        with_resources(Catalogue(), [MODEL, other, session])
    alike = replace(MODEL, name="small")
    catalogue = with_resources(Catalogue(), [MODEL, alike, session])
    with pytest.raises(FailedPreconditionError, match="in use by session m@50ms"):
        require_removable(catalogue, "model", "small")


def test_facts_show_what_the_cluster_made_of_a_session_and_a_query() -> None:
    placement = Placement(
        session="q/a", model="m", slo_us=90_000, batch=2, rate=7.0, latency_us=1_500
    )
    plan = Plan(
        backends=(
            BackendPlan(
                backend="b0",
                device="v100",
                duty_cycle_us=3_000,
                occupancy=0.5,
                placements=(placement,),
            ),
        ),
        splits={"q": {"a": 90_000}},
        unmet={"m@50ms": 2.0},
    )
    refused = SessionRoutes(
        session="m@50ms", model="m", slo_us=50_000, routes=(), infeasible="too slow"
    )
    table = RoutingTable(sessions=(refused,))
    rates = {"m@50ms": 3.0}
    session = facts_of(SESSION, CATALOGUE, plan, table, rates)
    assert (session["rate"], session["unmet"], session["infeasible"]) == (3.0, 2.0, "too slow")
    query = facts_of(QUERY, CATALOGUE, plan, table, rates)
    assert query["budgets_ms"] == {"a": 90.0}
    assert "'batch': 2" in str(query["stages"])
    model = facts_of(MODEL, CATALOGUE, plan, table, rates)
    assert model == {
        "profiled_on": ["v100"],
        "sessions": ["m@50ms"],
        "stages": ["q/a"],
        "backends": ["b0"],
    }
    assert facts_of(PROFILE, CATALOGUE, plan, table, rates)["max_batch"] == 2
