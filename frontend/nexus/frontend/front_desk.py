"""What both services share: the catalogue indexed by name, the engine, and who counts."""

from collections.abc import Callable

from nexus.core.cluster import Catalogue
from nexus.core.errors import NotFoundError
from nexus.core.model import Model
from nexus.core.names import ModelName, QueryName
from nexus.core.query import Query
from nexus.core.request import Outcome
from nexus.core.tensor import Tensor
from nexus.frontend.driver import Ended, EngineDriver
from nexus.frontend.model_statistics import ModelStatistics
from nexus.frontend.payload import frame_tensor
from nexus.frontend.sessions import KnownSession, SessionDirectory
from nexus.telemetry.frontend import FrontendMetrics


class FrontDesk:
    """Looks up what requests name, hands them to the engine, and counts how they ended."""

    def __init__(
        self, driver: EngineDriver, metrics: FrontendMetrics, wall_us: Callable[[], int]
    ) -> None:
        """Begin knowing nothing; ``refresh`` after every change of catalogue or table.

        ``wall_us`` is the time of day, for statistics that people read.
        """
        self.driver = driver
        self.statistics = ModelStatistics()
        self.sessions = SessionDirectory(Catalogue(), driver.engine.table)
        self._metrics = metrics
        self._wall_us = wall_us
        self._models: dict[ModelName, Model] = {}
        self._queries: dict[QueryName, Query] = {}

    @property
    def ready(self) -> bool:
        """Whether requests can be accepted: there is a table, and no drain."""
        return self.driver.engine.table.version > 0 and not self.driver.engine.draining

    @property
    def models(self) -> tuple[Model, ...]:
        """All declared models."""
        return tuple(self._models.values())

    def refresh(self) -> None:
        """Index the engine's catalogue and table anew."""
        catalogue = self.driver.engine.catalogue
        self.sessions = SessionDirectory(catalogue, self.driver.engine.table)
        self._models = {model.name: model for model in catalogue.models}
        self._queries = {query.name: query for query in catalogue.queries}
        targets = {session.name: session.slo_us for session in self.sessions.planned}
        targets |= {query.name: query.slo_us for query in catalogue.queries}
        self._metrics.slo_targets(targets)

    def model(self, name: ModelName, version: str) -> Model:
        """The declared model; raise NotFoundError on an unknown name or version."""
        model = self._models.get(name)
        if model is None:
            raise NotFoundError(
                f"Request for unknown model: {name!r} is not found", reason="unknown_model"
            )
        if version not in {"", model.version}:
            raise NotFoundError(
                f"Request for unknown model: {name!r} version {version!r} is not found; it has "
                f"version {model.version!r}",
                reason="unknown_version",
            )
        return model

    def query(self, name: QueryName) -> Query:
        """The declared query; raise NotFoundError naming those that exist."""
        query = self._queries.get(name)
        if query is None:
            raise NotFoundError(
                f"query {name!r} is not declared; there is {', '.join(self._queries) or 'none'}",
                reason="unknown_query",
            )
        return query

    def not_ready_reason(self, model: Model) -> str:
        """Why no backend serves the model now; empty when one does."""
        names = self.sessions.names_of(model.name)
        if not names:
            return "no session and no query uses it"
        refusals = [self.driver.engine.why_not(name) for name in names]
        return "" if "" in refusals else refusals[0]

    async def infer(
        self,
        model: Model,
        session: KnownSession,
        tensors: tuple[Tensor, ...],
        items: int,
        deadline_us: int,
    ) -> Outcome:
        """Run a request to its end and count it."""
        ended = await self.driver.infer(session.name, tensors, items, deadline_us)
        outcome = ended.outcome
        self.statistics.count(model.name, items, outcome, ended.latency_us, self._wall_us())
        self._metrics.answered(session.name, model.name, outcome, ended.latency_us, ended.slack_us)
        if outcome.served_by:
            self._metrics.degraded(session.name, outcome.served_by)
        return outcome

    async def run_query(self, query: Query, frame: bytes, deadline_us: int) -> Ended:
        """Run a frame to its end and count it."""
        ended = await self.driver.query(query.name, frame_tensor(frame), deadline_us)
        self._metrics.query_answered(query.name, ended.outcome, ended.latency_us, ended.slack_us)
        for result in ended.stages:
            if result.outcome.items:
                session = f"{query.name}/{result.stage}"
                self._metrics.stage_answered(session, result.latency_us)
        return ended
