"""What rate to expect of every session and query: measured, declared, or carried over.

The larger of the measured rate and the declared floor (``expected_rate``). A leader that has only
just taken over has measured nothing yet; until it has, what the last plan provided counts too, so
that a change of leader never shrinks the cluster.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nexus.core.cluster import Catalogue
from nexus.core.names import SessionName, declared_session, stage_session_name
from nexus.core.plan import Plan
from nexus.core.query import Query
from nexus.core.session import Session, SessionLoad
from nexus.scheduler.fan_out import FanOutEstimator
from nexus.scheduler.planner import QueryLoad
from nexus.scheduler.rates import RateEstimator
from nexus.scheduler.settings import EpochSettings
from nexus.scheduler.stage_rates import stage_rates


@dataclass(frozen=True, slots=True)
class Expectation:
    """The load of the catalogue's sessions and queries."""

    sessions: tuple[SessionLoad, ...]
    queries: tuple[QueryLoad, ...]

    def rates(self) -> dict[SessionName, float]:
        """Items/s of every session, query stages included."""
        rates = {load.session.name: load.rate for load in self.sessions}
        for entry in self.queries:
            for stage, rate in stage_rates(entry.query, entry.rate, entry.fan_outs).items():
                rates[stage_session_name(entry.query.name, stage)] = rate
        return rates

    def counted(self) -> dict[str, float]:
        """The same by everything that frontends count: query names too, in frames/s."""
        return self.rates() | {entry.query.name: entry.rate for entry in self.queries}

    def covers(self, catalogue: Catalogue) -> bool:
        """Whether it is the load of exactly what the catalogue declares."""
        return tuple(load.session for load in self.sessions) == catalogue.sessions and (
            tuple(entry.query for entry in self.queries) == catalogue.queries
        )

    def measured_as(self) -> dict[SessionName, str]:
        """The key by which each session's arrivals are counted: of a stage, those of its query."""
        keys = {load.session.name: load.session.name for load in self.sessions}
        for entry in self.queries:
            for stage in entry.query.stages:
                keys[stage_session_name(entry.query.name, stage.name)] = entry.query.name
        return keys

    def believed(self, may_be_even: Callable[[str], bool]) -> "Expectation":
        """Nothing is taken to arrive evenly, whatever its declarer foresees, that does not."""
        declared: tuple[Session | Query, ...] = (
            *(load.session for load in self.sessions),
            *(entry.query for entry in self.queries),
        )
        random = {d.name for d in declared if d.arrives_evenly and not may_be_even(d.name)}
        if not random:
            return self
        return Expectation(
            sessions=tuple(
                replace(load, session=replace(load.session, arrives_evenly=False))
                if load.session.name in random
                else load
                for load in self.sessions
            ),
            queries=tuple(
                replace(entry, query=replace(entry.query, arrives_evenly=False))
                if entry.query.name in random
                else entry
                for entry in self.queries
            ),
        )

    def grown(self, floors: Mapping[str, float]) -> "Expectation":
        """At least these rates, by what frontends count; nothing gets less.

        A stage that is called more often than its query's frames explain gets a larger fan-out.
        """
        if not floors:
            return self
        return Expectation(
            sessions=tuple(
                SessionLoad(load.session, max(load.rate, floors.get(load.session.name, 0.0)))
                for load in self.sessions
            ),
            queries=tuple(_grown_query(entry, floors) for entry in self.queries),
        )


def _grown_query(entry: QueryLoad, floors: Mapping[str, float]) -> QueryLoad:
    """Every stage's growth is its frames' or its parents', or its own fan-out's."""
    query = entry.query
    rate = max(entry.rate, floors.get(query.name, 0.0))
    fan_outs = dict(entry.fan_outs)
    for stage in query.stages:
        calls = stage_rates(query, rate, fan_outs)[stage.name]
        floor = floors.get(stage_session_name(query.name, stage.name), 0.0)
        if floor > calls > 0:
            fan_outs[stage.name] = fan_outs.get(stage.name, stage.fan_out) * floor / calls
    return replace(entry, rate=rate, fan_outs=fan_outs)


def expect(
    catalogue: Catalogue,
    rates: RateEstimator,
    fan_outs: FanOutEstimator,
    carried: Mapping[str, float],
) -> Expectation:
    """The load expected now; ``carried`` are floors by session or query name."""
    sessions = tuple(
        SessionLoad(
            session,
            max(rates.rate(session.name), session.expected_rate, carried.get(session.name, 0.0)),
        )
        for session in catalogue.sessions
    )
    queries = []
    for query in catalogue.queries:
        measured = {
            stage.name: fan_outs.fan_out(stage_session_name(query.name, stage.name))
            for stage in query.stages
        }
        queries.append(
            QueryLoad(
                query=query,
                rate=max(rates.rate(query.name), query.expected_rate, carried.get(query.name, 0.0)),
                fan_outs={name: value for name, value in measured.items() if value is not None},
            )
        )
    return Expectation(sessions, tuple(queries))


def carried_rates(plan: Plan, catalogue: Catalogue, headroom: float) -> dict[str, float]:
    """The rates that a published plan provides for, by session and query name."""
    provided: dict[str, float] = dict(plan.unmet)
    for backend in plan.backends:
        for placement in backend.placements:
            name = declared_session(placement.session)
            provided[name] = provided.get(name, 0.0) + placement.rate * headroom
    for query in catalogue.queries:
        provided[query.name] = max(
            provided.get(stage_session_name(query.name, root.name), 0.0) / root.fan_out
            if root.fan_out
            else 0.0
            for root in query.roots
        )
    return provided


def drifted(
    planned: Mapping[SessionName, float],
    expected: Mapping[SessionName, float],
    rates: RateEstimator,
    settings: EpochSettings,
) -> SessionName | None:
    """The first session whose rate has left its allocation beyond what chance explains, if any."""
    for session, rate in expected.items():
        basis = planned.get(session, 0.0)
        outside = rate > settings.rate_high * basis or rate < settings.rate_low * basis
        chance = settings.sigmas * rates.deviation(max(rate, basis))
        if outside and abs(rate - basis) > chance:
            return session
    return None
