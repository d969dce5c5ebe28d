"""Which session an inference request means.

Clients of the Open Inference Protocol name a model. A session is a model *and* an SLO, so the
request says which by the parameter ``session``, by ``slo_ms``, or by its own deadline; else the
tightest session of the model is taken.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nexus.core.cluster import Catalogue
from nexus.core.errors import NotFoundError
from nexus.core.names import ModelName, SessionName, stage_session_name
from nexus.core.routing import RoutingTable
from nexus.core.units import ms_from_us


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A session that requests may name; stage sessions (``QUERY/STAGE``) only by their name."""

    name: SessionName
    model: ModelName
    slo_us: int


class SessionDirectory:
    """The sessions of one catalogue and one routing table, indexed; immutable once built."""

    def __init__(self, catalogue: Catalogue, table: RoutingTable) -> None:
        """Join what is declared with what is planned; a plan's budget replaces a declared SLO."""
        known = {session.name: session for session in _declared(catalogue)}
        # An entry that only says why a session is infeasible has no model: it stays as declared.
        known |= {
            s.session: KnownSession(s.session, s.model, s.slo_us) for s in table.sessions if s.model
        }
        self._by_name = known
        planned = {routes.session for routes in table.sessions if routes.session in known}
        self.planned = tuple(known[name] for name in sorted(planned))
        self._by_model: dict[ModelName, list[KnownSession]] = {}
        for session in sorted(known.values(), key=lambda s: (s.slo_us, s.name)):
            if "/" not in session.name:
                self._by_model.setdefault(session.model, []).append(session)

    def named(self, name: SessionName, model: ModelName) -> KnownSession:
        """The session called ``name``; raise NotFoundError when there is none of that model."""
        session = self._by_name.get(name)
        if session is None or session.model != model:
            existing = (s.name for s in self._by_name.values() if s.model == model)
            raise NotFoundError(
                f"session {name!r} of model {model!r} is not declared; it has {_listed(existing)}",
                reason="unknown_session",
            )
        return session

    def by_name(self, name: SessionName) -> KnownSession:
        """The session called ``name``, whatever its model; raise NotFoundError when none is."""
        session = self._by_name.get(name)
        if session is None:
            raise NotFoundError(f"session {name!r} is not declared", reason="unknown_session")
        return session

    def names_of(self, model: ModelName) -> tuple[SessionName, ...]:
        """All sessions of a model, those of query stages too."""
        return tuple(sorted(s.name for s in self._by_name.values() if s.model == model))

    def of_model(self, model: ModelName, within_us: int | None) -> KnownSession:
        """The loosest session that answers ``within_us``, or the tightest there is.

        The loosest, because a looser SLO lets the plan batch more: asking for less costs less.
        When even the tightest is looser than asked, the request's own deadline still binds.

        Raises:
            NotFoundError: no session of the model is declared (stages of queries do not count).
        """
        sessions = self._by_model.get(model)
        if not sessions:
            stages = (s.name for s in self._by_name.values() if s.model == model)
            raise NotFoundError(
                f"model {model!r} has no session, so no SLO to serve it by; declare one with "
                f"'nexus apply', or name a stage in the parameter 'session': {_listed(stages)}",
                reason="unknown_session",
            )
        if within_us is None:
            return sessions[0]
        fitting = [session for session in sessions if session.slo_us <= within_us]
        return fitting[-1] if fitting else sessions[0]

    def with_slo(self, model: ModelName, slo_us: int) -> KnownSession:
        """The session of exactly or at most this SLO; raise NotFoundError when all are looser."""
        session = self.of_model(model, slo_us)
        if session.slo_us > slo_us:
            existing = (s.name for s in self._by_model[model])
            raise NotFoundError(
                f"model {model!r} has no session within {ms_from_us(slo_us):g} ms; there is "
                f"{_listed(existing)}",
                reason="unknown_session",
            )
        return session


def _declared(catalogue: Catalogue) -> Iterator[KnownSession]:
    """The declared sessions and, within the whole query's SLO, those of every query's stages."""
    for session in catalogue.sessions:
        yield KnownSession(session.name, session.model, session.slo_us)
    for query in catalogue.queries:
        for stage in query.stages:
            name = stage_session_name(query.name, stage.name)
            yield KnownSession(name, stage.model, query.slo_us)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
