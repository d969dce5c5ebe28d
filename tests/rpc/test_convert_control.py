"""Declared resources and published state through the control service's messages."""

import pytest

from nexus.core.cluster import BackendStatus, ClusterView
from nexus.core.errors import DocumentError
from nexus.core.model import EngineKind, Model
from nexus.core.plan import BackendPlan, Placement, Plan
from nexus.core.profile import linear_profile
from nexus.core.query import Query, Stage
from nexus.core.routing import Route, RoutingTable, SessionRoutes
from nexus.core.session import Session
from nexus.core.tensor import DataType, TensorSpec
from nexus.rpc import convert_control as control
from nexus.v1.control_pb2 import Resource

MODEL = Model(
    name="resnet50",
    engine=EngineKind.EMULATED,
    inputs=(TensorSpec("x", DataType.FP32, (-1, 3)),),
    parameters={"a": "b"},
)
SESSION = Session(model="resnet50", slo_us=50_000)
QUERY = Query(name="traffic", slo_us=400_000, stages=(Stage(name="detect", model="resnet50"),))
PROFILE = linear_profile("resnet50", "v100", 750, 7960, 4)


@pytest.mark.parametrize(
    ("resource", "kind", "name"),
    [
        (MODEL, "model", "resnet50"),
        (SESSION, "session", "resnet50@50ms"),
        (QUERY, "query", "traffic"),
        (PROFILE, "profile", "resnet50/v100"),
    ],
)
def test_resource_round_trips(resource: control.Declared, kind: str, name: str) -> None:
    message = Resource.FromString(control.resource_to_pb(resource).SerializeToString())
    assert (message.kind, message.name) == (kind, name)
    assert control.resource_from_pb(message) == resource


def test_resource_of_an_unknown_kind_names_the_kinds() -> None:
    with pytest.raises(DocumentError, match="'pod' is not one of model, session, query, profile"):
        control.resource_from_pb(Resource(kind="pod", name="x", json=b"{}"))


def test_resource_with_malformed_json_names_the_resource() -> None:
    with pytest.raises(DocumentError, match=r"model 'x'.*not JSON"):
        control.resource_from_pb(Resource(kind="model", name="x", json=b"{"))


def test_resource_whose_document_has_another_name_is_refused() -> None:
    message = control.resource_to_pb(MODEL)
    message.name = "vgg"
    with pytest.raises(DocumentError, match="model 'vgg': its document is named 'resnet50'"):
        control.resource_from_pb(message)


def test_resource_that_is_invalid_keeps_its_reason() -> None:
    message = Resource(kind="session", json=b'{"model":"m","slo_us":-1}')
    with pytest.raises(DocumentError) as caught:
        control.resource_from_pb(message)
    assert caught.value.reason == "invalid_slo"


def test_resource_expected_of_another_kind_is_refused() -> None:
    assert control.expect(Model, control.resource_to_pb(MODEL)) == MODEL
    with pytest.raises(DocumentError, match="expected a query, got model 'resnet50'"):
        control.expect(Query, control.resource_to_pb(MODEL))


def test_published_state_round_trips() -> None:
    placement = Placement(
        session="s", model="m", slo_us=50_000, batch=8, rate=99.5, latency_us=14_000
    )
    plan = Plan(
        version=3,
        backends=(
            BackendPlan(
                device="v100", duty_cycle_us=36_000, occupancy=0.4, placements=(placement,)
            ),
        ),
        splits={"traffic": {"detect": 400_000}},
    )
    route = Route(
        backend="b0", address="h:1", rate=9.0, batch=8, duty_cycle_us=36_000, latency_us=14_000
    )
    routes = SessionRoutes(session="s", model="m", slo_us=50_000, routes=(route,))
    table = RoutingTable(version=4, sessions=(routes,))
    status = BackendStatus(
        backend="b0", incarnation=7, address="h:1", control_address="h:2", device="v100"
    )
    view = ClusterView(leader="s0", fence=2, backends=(status,))
    assert control.plan_from_pb(control.plan_to_pb(plan)) == plan
    assert control.table_from_pb(control.table_to_pb(table)) == table
    assert control.status_from_pb(control.status_to_pb(status)) == status
    assert control.cluster_from_pb(control.cluster_to_pb(view)) == view
