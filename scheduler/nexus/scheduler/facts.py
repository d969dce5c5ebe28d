"""What the cluster has made of a declared resource: the facts of ``nexus describe``. Pure."""

from collections.abc import Mapping

from nexus.core.cluster import Catalogue
from nexus.core.model import Model
from nexus.core.names import SessionName, declared_session, stage_session_name
from nexus.core.plan import Plan
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.routing import RoutingTable
from nexus.core.units import BYTES_PER_MB, ms_from_us
from nexus.rpc.convert_control import Declared

Facts = dict[str, object]


def facts_of(
    resource: Declared,
    catalogue: Catalogue,
    plan: Plan,
    table: RoutingTable,
    rates: Mapping[SessionName, float],
) -> Facts:
    """Plain data for people and ``--json``; times in ms, rates in items/s."""
    if isinstance(resource, Model):
        return _model(resource, catalogue, plan)
    if isinstance(resource, Profile):
        return _profile(resource)
    if isinstance(resource, Query):
        return _query(resource, plan, table, rates)
    return _session(resource.name, plan, table, rates)


def _model(model: Model, catalogue: Catalogue, plan: Plan) -> Facts:
    return {
        "profiled_on": [p.device for p in catalogue.profiles if p.model == model.name],
        "sessions": [s.name for s in catalogue.sessions if s.model == model.name],
        "stages": [
            stage_session_name(query.name, stage.name)
            for query in catalogue.queries
            for stage in query.stages
            if stage.model == model.name
        ],
        "backends": [
            backend.backend
            for backend in plan.backends
            if any(placement.model == model.name for placement in backend.placements)
        ],
    }


def _profile(profile: Profile) -> Facts:
    return {
        "max_batch": profile.max_batch,
        "latency_1_ms": ms_from_us(profile.latency_us(1)),
        "best_throughput": round(profile.best_throughput, 1),
        "memory_mb": profile.memory_bytes / BYTES_PER_MB,
    }


def _query(
    query: Query, plan: Plan, table: RoutingTable, rates: Mapping[SessionName, float]
) -> Facts:
    budgets = plan.splits.get(query.name, {})
    return {
        "budgets_ms": {stage: ms_from_us(budget_us) for stage, budget_us in budgets.items()},
        "stages": {
            stage.name: _session(stage_session_name(query.name, stage.name), plan, table, rates)
            for stage in query.stages
        },
    }


def _session(
    name: SessionName, plan: Plan, table: RoutingTable, rates: Mapping[SessionName, float]
) -> Facts:
    routes = table.session(name)
    return {
        "rate": round(rates.get(name, 0.0), 3),
        "unmet": plan.unmet.get(name, 0.0),
        "infeasible": routes.infeasible if routes is not None else "",
        "placements": [
            {
                "backend": backend.backend,
                "device": backend.device,
                "duty_cycle_ms": ms_from_us(backend.duty_cycle_us),
                "model": placement.model,
                "batch": placement.batch,
                "rate": placement.rate,
                "latency_ms": ms_from_us(placement.latency_us),
                "pool": placement.pool,
                "spare": placement.spare,
            }
            for backend in plan.backends
            for placement in backend.placements
            if declared_session(placement.session) == name
        ],
        "routes": [route.backend for route in routes.routes] if routes else [],
        "pool": _pool(name, table),
    }


def _pool(session: SessionName, table: RoutingTable) -> Facts | None:
    """The pool that routes the session, None when only local routes do."""
    pool = table.pool_of(session)
    if pool is None:
        return None
    return {
        "name": pool.name,
        "members": [member.backend for member in pool.members if not member.spare],
        "spares": [member.backend for member in pool.members if member.spare],
    }
