"""What is declared and what is observed: the two inputs of every reconcile.

``Catalogue`` is desired state, written by people through the control service. ``BackendStatus`` and
``FrontendReport`` are observed state: each process publishes its own, whole, every second, under a
key that expires; the scheduler rebuilds everything it knows from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from nexus.core.errors import NotFoundError
from nexus.core.model import Model
from nexus.core.names import BackendName, DeviceType, FrontendName, ModelName, SessionName
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.session import Session


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything declared, sorted by name. ``version`` is the store's version of the whole."""

    models: tuple[Model, ...] = ()
    sessions: tuple[Session, ...] = ()
    queries: tuple[Query, ...] = ()
    profiles: tuple[Profile, ...] = ()
    version: int = 0

    def model(self, name: str) -> Model:
        """The model of that name; raise NotFoundError when none is declared."""
        for model in self.models:
            if model.name == name:
                return model
        raise NotFoundError(
            f"Request for unknown model: {name!r} is not found", reason="unknown_model"
        )

    def query(self, name: str) -> Query:
        """The query of that name; raise NotFoundError when none is declared."""
        for query in self.queries:
            if query.name == name:
                return query
        raise NotFoundError(f"query {name!r} is not declared", reason="unknown_query")

    def profile(self, model: str, device: str) -> Profile | None:
        """The profile of a model on a device type, if measured."""
        for profile in self.profiles:
            if profile.model == model and profile.device == device:
                return profile
        return None


class BackendState(Enum):
    """Life of a backend."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class MeasuredLatency:
    """The typical latency of executed batches: what the profile should have said."""

    model: ModelName
    batch: int
    latency_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """One backend's own account of itself.

    ``incarnation`` differs at every start, so a restarted backend is not taken for its old self;
    ``plan_version`` is the newest plan it acted on; ``loaded`` the sessions it can serve now;
    ``failed`` those whose model would not load, with the error.
    """

    backend: BackendName
    incarnation: int
    address: str
    control_address: str
    device: DeviceType
    memory_bytes: int = 0
    state: BackendState = BackendState.STARTING
    plan_version: int = 0
    loaded: tuple[SessionName, ...] = ()
    failed: Mapping[SessionName, str] = field(default_factory=dict)
    measured: tuple[MeasuredLatency, ...] = ()


@dataclass(frozen=True, slots=True)
class StageCount:
    """Calls of a stage, and of its parents together (frames, for a root or a stage per frame).

    Grow-only since the frontend started, as all counters of the report.
    """

    calls: int
    parent_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendReport:
    """What one frontend saw since it started; counters only grow, so a lost report loses nothing.

    ``arrivals`` counts items offered per session, refused ones included (the planner must see the
    demand); sessions of stages (``QUERY/STAGE``) are among them, and query names, which count
    frames. ``stages`` counts fan-out per ``QUERY/STAGE``. ``table_version`` is the routing table in
    use: the scheduler withdraws a backend only once no live frontend routes by an older table.
    ``peer_address`` is where other frontends reach it (``host:port``); empty: it neither owns pools
    nor asks owners. ``lost`` are the backends of that table whose connection broke and has not come
    back.
    """

    frontend: FrontendName
    incarnation: int
    address: str
    at_us: int
    peer_address: str = ""
    table_version: int = 0
    arrivals: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[SessionName, StageCount] = field(default_factory=dict)
    lost: tuple[BackendName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """Who is there, for people and tools: the live processes, who leads, which plan is in force.

    ``leader`` is the name of the scheduler that holds the lease, empty when nobody does.
    """

    leader: str = ""
    fence: int = 0
    epoch: int = 0
    plan_version: int = 0
    table_version: int = 0
    catalogue_version: int = 0
    backends: tuple[BackendStatus, ...] = ()
    frontends: tuple[FrontendReport, ...] = ()
