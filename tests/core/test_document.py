"""The one codec of dataclasses: strict, exact, and it says where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.cluster import BackendStatus, Catalogue, FrontendReport, StageCount
from nexus.core.document import from_data, from_json, to_data, to_json
from nexus.core.errors import DocumentError
from nexus.core.model import EngineKind, Model
from nexus.core.plan import BackendPlan, Infeasible, Placement, Plan
from nexus.core.profile import Profile
from nexus.core.query import Query, Stage
from nexus.core.session import Session
from nexus.core.tensor import DataType, TensorSpec

NAMES = st.text("abc0", min_size=1, max_size=4).map(lambda tail: "n" + tail)
MODELS = st.builds(
    Model,
    name=NAMES,
    engine=st.just(EngineKind.EMULATED),
    inputs=st.lists(
        st.builds(
            TensorSpec,
            name=NAMES,
            datatype=st.sampled_from(DataType),
            shape=st.lists(st.integers(-1, 9), max_size=3).map(tuple),
        ),
        max_size=2,
        unique_by=lambda spec: spec.name,
    ).map(tuple),
    parameters=st.dictionaries(NAMES, NAMES, max_size=2),
)
PLACEMENTS = st.builds(
    Placement,
    session=NAMES,
    model=NAMES,
    slo_us=st.integers(1, 10**6),
    batch=st.integers(1, 64),
    rate=st.floats(0, 1e6),
    latency_us=st.integers(1, 10**6),
    pool=st.none() | NAMES,
)
PLANS = st.builds(
    Plan,
    version=st.integers(0, 9),
    backends=st.lists(
        st.builds(
            BackendPlan,
            device=NAMES,
            duty_cycle_us=st.integers(0, 10**6),
            occupancy=st.floats(0, 1),
            placements=st.lists(PLACEMENTS, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    infeasible=st.lists(st.builds(Infeasible, NAMES, NAMES), max_size=2).map(tuple),
    splits=st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers(0, 9)), max_size=2),
)


@given(MODELS)
def test_document_round_trip_of_models(model: Model) -> None:
    assert from_json(Model, to_json(model)) == model


@given(PLANS)
def test_document_round_trip_of_plans(plan: Plan) -> None:
    assert from_json(Plan, to_json(plan)) == plan


def test_document_round_trip_of_observed_state() -> None:
    status = BackendStatus(
        backend="b0",
        incarnation=3,
        address="127.0.0.1:1",
        control_address="127.0.0.1:2",
        device="cpu",
        failed={"m@5ms": "no such file"},
    )
    report = FrontendReport(
        frontend="f0",
        incarnation=1,
        address="a",
        at_us=5,
        arrivals={"m@5ms": 7},
        stages={"q/s": StageCount(3, 2)},
    )
    assert from_json(BackendStatus, to_json(status)) == status
    assert from_json(FrontendReport, to_json(report)) == report


def test_document_catalogue_keeps_everything_declared() -> None:
    catalogue = Catalogue(
        models=(Model(name="m", engine=EngineKind.EMULATED),),
        sessions=(Session(model="m", slo_us=50_000),),
        queries=(Query(name="q", slo_us=9_000, stages=(Stage(name="s", model="m"),)),),
        profiles=(Profile(model="m", device="v100", latencies_us=(5, 6)),),
        version=4,
    )
    assert from_json(Catalogue, to_json(catalogue)) == catalogue


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"model": "m", "slo_us": 5, "slo": 5}, r"Session.slo: unknown key"),
        ({"model": "m"}, r"Session.slo_us: missing"),
        ({"model": 3, "slo_us": 5}, r"Session.model: expected str, got int 3"),
        ({"model": "m", "slo_us": True}, r"Session.slo_us: expected int, got True"),
        ({"model": "m", "slo_us": None}, r"Session.slo_us: expected int, got nothing"),
        ({"model": "m", "slo_us": -1}, r"Session: session 'm@-0.001ms': SLO -0.001 ms is not in"),
        ([], r"Session: expected a mapping, got list"),
    ],
)
def test_document_error_names_the_key(data: object, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        from_data(Session, data)


def test_document_error_names_the_place_in_a_list() -> None:
    data = {"name": "q", "slo_us": 9, "stages": [{"name": "a", "model": "m"}, {"name": "b"}]}
    with pytest.raises(DocumentError, match=r"Query.stages\[1\].model: missing"):
        from_data(Query, data)


def test_document_error_keeps_the_reason_of_the_rule_broken() -> None:
    stages = [
        {"name": "a", "model": "m", "after": ["b"]},
        {"name": "b", "model": "m", "after": ["a"]},
    ]
    with pytest.raises(DocumentError, match="a, b wait for one another") as caught:
        from_data(Query, {"name": "q", "slo_us": 9, "stages": stages})
    assert caught.value.reason == "cyclic_query"


def test_document_error_lists_the_words_of_an_enum() -> None:
    with pytest.raises(DocumentError, match="'gpu' is not one of torch, onnx, emulated"):
        from_data(Model, {"name": "m", "engine": "gpu"})


def test_document_not_json_is_a_document_error() -> None:
    with pytest.raises(DocumentError, match="plan: not JSON"):
        from_json(Plan, b"{", "plan")


def test_document_data_holds_only_plain_values() -> None:
    stage = Stage(name="s", model="m")
    assert to_data(stage)["per"] == "frame"
