"""What ``nexus top`` shows, computed from two looks at a cluster. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus.cli.output import table_lines
from nexus.cli.prometheus_text import samples
from nexus.core.cluster import ClusterView
from nexus.core.document import to_data
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable, SessionRoutes
from nexus.core.units import US_PER_S, ms_from_us

OK = "ok"
REQUESTS_METRIC = "nexus_frontend_requests_total"
QUERIES_METRIC = "nexus_frontend_query_requests_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A cluster at one moment of our clock. ``outcomes`` counts (session or query, outcome)."""

    at_us: int
    view: ClusterView
    plan: Plan
    table: RoutingTable
    outcomes: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """Rates are items/s between the two looks; ``drops`` requests/s by reason.

    ``backends`` are those of its local routes, then the members of its ``pool``, spares last.
    """

    session: str
    rate: float
    planned_rate: float
    backends: tuple[str, ...]
    batch: int
    slo_ms: float
    ok_rate: float
    drops: Mapping[str, float]
    infeasible: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRow:
    """One live backend and its share of the plan."""

    backend: str
    device: str
    state: str
    sessions: tuple[str, ...]
    occupancy: float
    duty_cycle_ms: float


def outcomes_of(pages: Sequence[str]) -> dict[tuple[str, str], float]:
    """Requests and frames by (session or query, outcome), over all frontends' metrics pages."""
    counts: Counter[tuple[str, str]] = Counter()
    for page in pages:
        for metric, label in ((REQUESTS_METRIC, "session"), (QUERIES_METRIC, "query")):
            for labels, value in samples(page, metric):
                counts[labels.get(label, ""), labels.get("outcome", "")] += value  # type: ignore[assignment] # counters are floats
    return dict(counts)


def session_rows(before: Look, now: Look) -> tuple[SessionRow, ...]:
    """One row for every session the cluster routes, then one for every query."""
    names = [routes.session for routes in now.table.sessions]
    queries = sorted({name for name, _ in now.outcomes} - set(names))
    return tuple(_session_row(name, before, now) for name in (*names, *queries))


def backend_rows(look: Look) -> tuple[BackendRow, ...]:
    """One row for every live backend."""
    rows = []
    for status in look.view.backends:
        share = look.plan.backend_plan(status.backend)
        rows.append(
            BackendRow(
                backend=status.backend,
                device=status.device,
                state=status.state.value,
                sessions=status.loaded,
                occupancy=share.occupancy if share else 0.0,
                duty_cycle_ms=ms_from_us(share.duty_cycle_us) if share else 0.0,
            )
        )
    return tuple(rows)


def as_text(before: Look, now: Look) -> str:
    """A line about the whole and both tables."""
    sessions = table_lines(
        ("session", "rate/s", "planned/s", "ok/s", "batch", "slo ms", "on", "drops/s"),
        [_session_cells(row) for row in session_rows(before, now)],
    )
    backends = table_lines(
        ("backend", "device", "state", "busy %", "cycle ms", "sessions"),
        [_backend_cells(row) for row in backend_rows(now)],
    )
    return "\n".join([_headline(now.view), "", *sessions, "", *backends])


def as_data(before: Look, now: Look) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "leader": now.view.leader,
        "epoch": now.view.epoch,
        "plan_version": now.view.plan_version,
        "sessions": to_data(session_rows(before, now)),
        "backends": to_data(backend_rows(now)),
    }


def _session_row(name: str, before: Look, now: Look) -> SessionRow:
    routes = now.table.session(name) or SessionRoutes(session=name, model="", slo_us=0, routes=())
    rates = {
        outcome: _per_second(count - before.outcomes.get((owner, outcome), 0.0), before, now)
        for (owner, outcome), count in now.outcomes.items()
        if owner == name
    }
    pool = now.table.pool_of(name)
    members = tuple(member.backend for member in pool.members) if pool is not None else ()
    batches = [s.batch for s in pool.sessions if s.session == name] if pool is not None else []
    return SessionRow(
        session=name,
        rate=_per_second(_arrivals(now, name) - _arrivals(before, name), before, now),
        planned_rate=sum(route.rate for route in routes.routes) + routes.pool_rate,
        backends=tuple(route.backend for route in routes.routes) + members,
        batch=max((*batches, *(route.batch for route in routes.routes)), default=0),
        pool=pool.name if pool is not None else "",
        slo_ms=ms_from_us(routes.slo_us),
        ok_rate=rates.pop(OK, 0.0),
        drops={reason: rate for reason, rate in sorted(rates.items()) if rate > 0},
        infeasible=routes.infeasible,
    )


def _arrivals(look: Look, name: str) -> int:
    return sum(frontend.arrivals.get(name, 0) for frontend in look.view.frontends)


def _per_second(difference: float, before: Look, now: Look) -> float:
    """A restarted frontend counts from zero again: then nothing is shown, not a negative rate."""
    elapsed_us = now.at_us - before.at_us
    return max(0.0, difference) * US_PER_S / elapsed_us if elapsed_us > 0 else 0.0


def _session_cells(row: SessionRow) -> tuple[object, ...]:
    drops = ", ".join(f"{reason} {rate:.1f}" for reason, rate in row.drops.items())
    return (
        row.session,
        round(row.rate, 1),
        round(row.planned_rate, 1),
        round(row.ok_rate, 1),
        row.batch,
        round(row.slo_ms, 1),
        _where(row),
        row.infeasible or drops,
    )


def _where(row: SessionRow) -> str:
    backends = ", ".join(row.backends) or "-"
    return f"pool {row.pool}: {backends}" if row.pool else backends


def _backend_cells(row: BackendRow) -> tuple[object, ...]:
    return (
        row.backend,
        row.device,
        row.state,
        round(100 * row.occupancy),
        round(row.duty_cycle_ms, 1),
        ", ".join(row.sessions),
    )


def _headline(view: ClusterView) -> str:
    return (
        f"leader {view.leader or 'none'}, epoch {view.epoch}, plan {view.plan_version}, "
        f"table {view.table_version}, {len(view.frontends)} frontends, "
        f"{len(view.backends)} backends"
    )
