"""A Scenario: devices, models, sessions and queries to plan, simulate or bench, from one YAML file.

What a scenario *is*; ``scenario_file`` reads one, and ``scenario.schema.json`` describes the format
to editors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from nexus.core.cluster import Catalogue
from nexus.core.device import DeviceSpec
from nexus.core.model import EngineKind, Model
from nexus.core.names import DeviceType, ModelName, StageName
from nexus.core.profile import Profile
from nexus.core.query import Per, Query
from nexus.core.session import Session
from nexus.core.tensor import DataType, TensorSpec
from nexus.core.units import US_PER_S
from nexus.scheduler.prefix_groups import PREFIX_PARAMETER, PrefixMember, group_profiles
from nexus.scheduler.settings import EpochSettings, PlannerSettings

RETRANSMIT_US = 200_000
"""TCP's least retransmission time on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What lies between processes.

    ``delay_us`` is one way, and ``jitter_us`` the most that a message may take besides (uniform).
    ``transfer_mbps`` 0 means that transfers take no time. Of all messages a share ``loss`` is lost
    and comes ``retransmit_us`` later, holding up those behind it; a share ``reset`` breaks its
    connection.
    """

    delay_us: int = 0
    jitter_us: int = 0
    transfer_mbps: float = 0.0
    loss: float = 0.0
    reset: float = 0.0
    retransmit_us: int = RETRANSMIT_US

    @property
    def reserve_us(self) -> int:
        """What one way takes at most, where nothing is lost and transfers take no time."""
        return self.delay_us + self.jitter_us


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBehaviour:
    """How devices of one type differ from the profiles.

    ``jitter`` is the relative standard deviation of a batch's time, ``load_us`` how long loading a
    model takes where its profile does not say.
    """

    jitter: float = 0.0
    load_us: int = US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How requests arrive: a kind (``scenario_file.ARRIVAL_KINDS``) with its own parameters."""

    kind: str = "poisson"
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_even(self) -> bool:
        """Whether they come at equal gaps."""
        return self.kind == "uniform"

    def scaled(self, factor: float) -> "Arrivals":
        """The same at ``factor`` times the rate: a trace, which has its own, is played faster."""
        if self.kind != "trace":
            return self
        speed = self.parameters.get("speed", 1.0)
        assert isinstance(speed, int | float), speed
        return replace(self, parameters={**self.parameters, "speed": speed * factor})


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """How many findings for a stage one call of its parent gives.

    ``poisson`` or ``fixed`` around the stage's mean; or, ``listed``, one of ``values``, all alike.
    """

    kind: str = "poisson"
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioModel:
    """A model by its profiles; ``max_batch`` caps its batches on every device.

    ``prefix`` says whose first layers it shares. A model of the group's name, if there is one,
    has the profile of the group's batches; else it is worked out (prefix_groups.py).
    """

    name: ModelName
    profiles: Mapping[DeviceType, Profile]
    max_batch: int
    prefix: PrefixMember | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSession:
    """A session, its rate in requests/s (also ``session.expected_rate``) and its arrivals.

    ``payload_bytes`` is what a request carries; it takes time where the network has a bandwidth.
    """

    session: Session
    rate: float
    arrivals: Arrivals = field(default_factory=Arrivals)
    payload_bytes: int = 0

    @property
    def declared(self) -> Session:
        """The session as its declarer foresees it."""
        return replace(self.session, arrives_evenly=self.arrivals.is_even)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioQuery:
    """A query, its rate in frames/s (also ``query.expected_rate``) and its arrivals.

    ``fan_outs`` says how the findings of a stage vary; one not named is ``poisson``.
    """

    query: Query
    rate: float
    arrivals: Arrivals = field(default_factory=Arrivals)
    payload_bytes: int = 0
    fan_outs: Mapping[StageName, FanOut] = field(default_factory=dict)

    @property
    def declared(self) -> Query:
        """The query as its declarer foresees it."""
        return replace(self.query, arrives_evenly=self.arrivals.is_even)


class FaultKind(Enum):
    """What can happen to a process."""

    KILL = "kill"
    """It dies as by ``kill -9``; with ``for_us`` it is started anew after that."""
    STALL = "stall"
    """It does nothing for ``for_us``, then goes on."""
    PARTITION = "partition"
    """Nothing passes between it and ``apart_from`` (everybody else, if that is empty)."""


class NodeKind(Enum):
    """Which processes there are."""

    BACKEND = "backend"
    FRONTEND = "frontend"
    SCHEDULER = "scheduler"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class NodeReference:
    """Process number ``index`` of its kind; None: all of them."""

    kind: NodeKind
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that breaks ``at_us`` after the first request may come; ``for_us`` None: for good.

    Backends are numbered in the order of the devices' declaration.
    """

    at_us: int
    kind: FaultKind
    nodes: tuple[NodeReference, ...]
    for_us: int | None = None
    apart_from: tuple[NodeReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole file. ``headroom`` None leaves it to the policy."""

    name: str
    devices: tuple[DeviceSpec, ...]
    models: tuple[ScenarioModel, ...]
    sessions: tuple[ScenarioSession, ...] = ()
    queries: tuple[ScenarioQuery, ...] = ()
    seed: int = 0
    duration_us: int = 60_000_000
    network: Network = field(default_factory=Network)
    behaviours: Mapping[DeviceType, DeviceBehaviour] = field(default_factory=dict)
    frontends: int = 1
    schedulers: int = 1
    epochs: EpochSettings = field(default_factory=EpochSettings)
    headroom: float | None = None
    policy: str = "default"
    faults: tuple[Fault, ...] = ()

    def catalogue(self) -> Catalogue:
        """The scenario as declared resources, for whoever runs a cluster on it.

        Models are emulated: one small tensor in and out, and for every stage that has children as
        many findings labelled with the child's name as its fan-out says; the child asks for these.
        """
        queries = tuple(_labelled(entry.declared) for entry in self.queries)
        return Catalogue(
            models=tuple(_emulated(model, queries) for model in self.models),
            sessions=tuple(entry.declared for entry in self.sessions),
            queries=queries,
            profiles=(*self.model_profiles(), *self.prefix_profiles()),
            version=1,
        )

    def model_profiles(self) -> tuple[Profile, ...]:
        """Every model on every device type that it has a profile of."""
        return tuple(profile for model in self.models for profile in model.profiles.values())

    def prefix_profiles(self) -> tuple[Profile, ...]:
        """The profiles of prefix groups that are described, and not declared as models."""
        declared = {model.name for model in self.models}
        described = group_profiles(
            (model.prefix, profile)
            for model in self.models
            if model.prefix is not None and model.prefix.group not in declared
            for profile in model.profiles.values()
        )
        return tuple(described.values())

    def scaled(self, factor: float) -> "Scenario":
        """The same scenario with every rate, declared and offered, times ``factor``."""
        return replace(
            self,
            sessions=tuple(_scaled_session(entry, factor) for entry in self.sessions),
            queries=tuple(_scaled_query(entry, factor) for entry in self.queries),
        )

    def planner_settings(self, base: PlannerSettings) -> PlannerSettings:
        """A policy's settings with what the file says of its own: headroom and network."""
        return replace(
            base,
            headroom=base.headroom if self.headroom is None else self.headroom,
            network_us=2 * self.network.reserve_us,
            ask_us=2 * self.network.reserve_us if self.frontends > 1 else 0,
        )


def _scaled_session(entry: ScenarioSession, factor: float) -> ScenarioSession:
    rate = entry.rate * factor
    session = replace(entry.session, expected_rate=rate)
    return replace(entry, session=session, rate=rate, arrivals=entry.arrivals.scaled(factor))


def _scaled_query(entry: ScenarioQuery, factor: float) -> ScenarioQuery:
    rate = entry.rate * factor
    query = replace(entry.query, expected_rate=rate)
    return replace(entry, query=query, rate=rate, arrivals=entry.arrivals.scaled(factor))


def _labelled(query: Query) -> Query:
    stages = tuple(
        replace(stage, each=stage.each or (stage.name,)) if stage.per is Per.FINDING else stage
        for stage in query.stages
    )
    return replace(query, stages=stages)


def _emulated(model: ScenarioModel, queries: Iterable[Query]) -> Model:
    means = {
        label: child.fan_out / len(child.after) / len(child.each)
        for query in queries
        for stage in query.stages
        if stage.model == model.name
        for child in query.children(stage.name)
        for label in child.each
    }
    found = ",".join(f"{label}:{mean:g}" for label, mean in means.items())
    parameters = {"emulated_findings": found} if found else {}
    if model.prefix is not None:
        parameters[PREFIX_PARAMETER] = model.prefix.group
    return Model(
        name=model.name,
        engine=EngineKind.EMULATED,
        max_batch=model.max_batch,
        inputs=(TensorSpec("x", DataType.FP32, (-1, 4)),),
        outputs=(TensorSpec("y", DataType.FP32, (-1, 4)),),
        parameters=parameters,
    )
