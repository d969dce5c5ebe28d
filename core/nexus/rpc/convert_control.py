"""Declared resources and published state to the control service's messages and back.

They travel as the JSON of ``nexus.core.document``; ``control.proto`` says why.
"""

from typing import TypeAlias, TypeVar

from nexus.core.cluster import BackendStatus, ClusterView
from nexus.core.document import from_json, to_json
from nexus.core.errors import DocumentError
from nexus.core.model import Model
from nexus.core.plan import Plan
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.routing import RoutingTable
from nexus.core.session import Session
from nexus.v1 import backend_pb2, control_pb2

Declared: TypeAlias = Model | Session | Query | Profile

KINDS: dict[str, type[Declared]] = {
    "model": Model,
    "session": Session,
    "query": Query,
    "profile": Profile,
}
"""The word of each kind of resource, in messages, files and on the command line."""

_T = TypeVar("_T", bound=Declared)


def kind_of(resource: Declared) -> str:
    """The word of a resource's kind."""
    return next(kind for kind, cls in KINDS.items() if type(resource) is cls)


def name_of(resource: Declared) -> str:
    """A resource's name: unique within its kind; a profile's is MODEL/DEVICE."""
    if isinstance(resource, Profile):
        return f"{resource.model}/{resource.device}"
    return resource.name


def require_kind(kind: str) -> type[Declared]:
    """The class of a kind; raise DocumentError when the word is not one."""
    cls = KINDS.get(kind)
    if cls is None:
        raise DocumentError(
            f"resource kind {kind!r} is not one of {', '.join(KINDS)}", reason="unknown_kind"
        )
    return cls


def resource_to_pb(resource: Declared) -> control_pb2.Resource:
    """A resource as a message."""
    return control_pb2.Resource(
        kind=kind_of(resource), name=name_of(resource), json=to_json(resource)
    )


def resource_from_pb(message: control_pb2.Resource) -> Declared:
    """A message as a resource.

    Raises:
        DocumentError: the kind is unknown, the JSON is not such a resource, or its name is not the
            message's (an empty name in the message is filled from the JSON).
    """
    cls = require_kind(message.kind)
    resource = from_json(cls, message.json, f"{message.kind} {message.name!r}")
    if message.name and name_of(resource) != message.name:
        raise DocumentError(
            f"{message.kind} {message.name!r}: its document is named {name_of(resource)!r}"
        )
    return resource


def expect(cls: type[_T], message: control_pb2.Resource) -> _T:
    """A message as a resource of a kind known beforehand; raise DocumentError on another kind."""
    resource = resource_from_pb(message)
    if not isinstance(resource, cls):
        raise DocumentError(
            f"expected a {cls.__name__.lower()}, got {message.kind} {message.name!r}"
        )
    return resource


def plan_to_pb(plan: Plan) -> control_pb2.GetPlanResponse:
    """The answer to GetPlan."""
    return control_pb2.GetPlanResponse(json=to_json(plan))


def plan_from_pb(message: control_pb2.GetPlanResponse) -> Plan:
    """The plan in an answer to GetPlan; raise DocumentError when it is not one."""
    return from_json(Plan, message.json)


def table_to_pb(table: RoutingTable) -> control_pb2.GetRoutingTableResponse:
    """The answer to GetRoutingTable."""
    return control_pb2.GetRoutingTableResponse(json=to_json(table))


def table_from_pb(message: control_pb2.GetRoutingTableResponse) -> RoutingTable:
    """The table in an answer to GetRoutingTable; raise DocumentError when it is not one."""
    return from_json(RoutingTable, message.json)


def cluster_to_pb(view: ClusterView) -> control_pb2.GetClusterResponse:
    """The answer to GetCluster."""
    return control_pb2.GetClusterResponse(json=to_json(view))


def cluster_from_pb(message: control_pb2.GetClusterResponse) -> ClusterView:
    """The view in an answer to GetCluster; raise DocumentError when it is not one."""
    return from_json(ClusterView, message.json)


def status_to_pb(status: BackendStatus) -> backend_pb2.GetStatusResponse:
    """The answer to a backend's GetStatus."""
    return backend_pb2.GetStatusResponse(json=to_json(status))


def status_from_pb(message: backend_pb2.GetStatusResponse) -> BackendStatus:
    """The status in an answer to GetStatus; raise DocumentError when it is not one."""
    return from_json(BackendStatus, message.json)
