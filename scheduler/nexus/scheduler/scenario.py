"""A Scenario: devices, models, sessions and queries to plan, simulate or bench, from one YAML file.

What a scenario *is*; ``scenario_file`` reads one, and ``scenario.schema.json`` describes the format
to editors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nexus.core.cluster import Catalogue
from nexus.core.device import DeviceSpec
from nexus.core.model import EngineKind, Model
from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile
from nexus.core.query import Per, Query
from nexus.core.session import Session
from nexus.core.tensor import DataType, TensorSpec
from nexus.scheduler.settings import EpochSettings, PlannerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """``delay_us`` is one way; ``transfer_mbps`` 0 means that transfers take no time."""

    delay_us: int = 0
    transfer_mbps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How requests arrive: uniform, poisson, bursty, step or trace, with its own parameters."""

    kind: str = "poisson"
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioModel:
    """A model by its profiles; ``max_batch`` caps its batches on every device."""

    name: ModelName
    profiles: Mapping[DeviceType, Profile]
    max_batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSession:
    """A session, its rate in requests/s (also ``session.expected_rate``) and its arrivals."""

    session: Session
    rate: float
    arrivals: Arrivals = field(default_factory=Arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioQuery:
    """A query, its rate in frames/s (also ``query.expected_rate``) and its arrivals."""

    query: Query
    rate: float
    arrivals: Arrivals = field(default_factory=Arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that breaks: ``what`` number ``index`` suffers ``kind`` at ``at_us``."""

    at_us: int
    kind: str
    what: str
    index: int = 0
    parameters: Mapping[str, object] = field(default_factory=dict)


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
    frontends: int = 1
    epochs: EpochSettings = field(default_factory=EpochSettings)
    headroom: float | None = None
    policy: str = "default"
    faults: tuple[Fault, ...] = ()

    def catalogue(self) -> Catalogue:
        """The scenario as declared resources, for whoever runs a cluster on it.

        Models are emulated: one small tensor in and out, and for every stage that has children as
        many findings labelled with the child's name as its fan-out says; the child asks for these.
        """
        queries = tuple(_labelled(entry.query) for entry in self.queries)
        return Catalogue(
            models=tuple(_emulated(model, queries) for model in self.models),
            sessions=tuple(entry.session for entry in self.sessions),
            queries=queries,
            profiles=tuple(profile for model in self.models for profile in model.profiles.values()),
            version=1,
        )

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
            network_us=2 * self.network.delay_us,
        )


def _scaled_session(entry: ScenarioSession, factor: float) -> ScenarioSession:
    rate = entry.rate * factor
    return replace(entry, session=replace(entry.session, expected_rate=rate), rate=rate)


def _scaled_query(entry: ScenarioQuery, factor: float) -> ScenarioQuery:
    rate = entry.rate * factor
    return replace(entry, query=replace(entry.query, expected_rate=rate), rate=rate)


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
    return Model(
        name=model.name,
        engine=EngineKind.EMULATED,
        max_batch=model.max_batch,
        inputs=(TensorSpec("x", DataType.FP32, (-1, 4)),),
        outputs=(TensorSpec("y", DataType.FP32, (-1, 4)),),
        parameters={"emulated_findings": found} if found else {},
    )
