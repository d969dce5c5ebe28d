"""From the target plan and what is observed to what may be published now.

The order is load, acknowledge, route, drain, unload (ARCHITECTURE.md section 4, ADR 0012):

- A backend is routed to only while it is SERVING and says that it has the session loaded.
- A placement that left the target stays routed until all backends of the target are ready for
  its session, and loaded (rate 0 in the plan) until every live frontend uses a table without it.
- A dead or restarted backend is ready for nothing, so its routes vanish with the next table.
- Where old and new do not fit a device's memory together, the new one waits. If what it waits for
  waits in turn for such a device, the old route is withdrawn first: a gap, but no deadlock.

Everything is a function of the target, the last published state and the observation; calling it
again without news changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nexus.core.cluster import BackendState, BackendStatus, FrontendReport
from nexus.core.names import BackendName, SessionName
from nexus.core.plan import BackendPlan, Infeasible, Placement
from nexus.core.routing import Route, SessionRoutes
from nexus.core.session import Session

Spot = tuple[BackendName, SessionName]
Withdrawn = Mapping[Spot, int]
"""The first table version without the route, by spot, for placements that may still be in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the cluster should go; ``unplaced`` sessions are feasible, but find no room now."""

    backends: tuple[BackendPlan, ...] = ()
    infeasible: tuple[Infeasible, ...] = ()
    unplaced: tuple[Session, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What to publish, versions aside, and the withdrawals to remember."""

    backends: tuple[BackendPlan, ...]
    sessions: tuple[SessionRoutes, ...]
    withdrawn: Withdrawn = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What lies in the store."""

    backends: tuple[BackendPlan, ...] = ()
    sessions: tuple[SessionRoutes, ...] = ()
    table_version: int = 0
    withdrawn: Withdrawn = field(default_factory=dict)


def roll_out(
    target: Target,
    published: Published,
    statuses: Sequence[BackendStatus],
    frontends: Sequence[FrontendReport],
) -> Rollout:
    """The next plan and table on the way to the target."""
    live = {status.backend: status for status in statuses}
    tight = _tight(target.backends, published, live)
    sessions = _sessions(target, published, live, tight)
    withdrawn = _withdrawals(published, sessions, frontends, live)
    backends = _backends(target.backends, published, withdrawn, sessions, live)
    return Rollout(backends=backends, sessions=sessions, withdrawn=withdrawn)


def is_ready(status: BackendStatus | None, session: SessionName) -> bool:
    """Whether a backend can be routed to for a session."""
    return status is not None and status.state is BackendState.SERVING and session in status.loaded


def _sessions(
    target: Target,
    published: Published,
    live: Mapping[BackendName, BackendStatus],
    tight: frozenset[BackendName],
) -> tuple[SessionRoutes, ...]:
    """The routes of every session of the target, and the reasons of those without a place."""
    wanted: dict[SessionName, list[tuple[BackendPlan, Placement]]] = {}
    for plan in target.backends:
        for placement in plan.placements:
            wanted.setdefault(placement.session, []).append((plan, placement))
    current = {routes.session: routes.routes for routes in published.sessions}
    sessions = [
        _session_routes(places, current.get(name, ()), live, tight)
        for name, places in wanted.items()
    ]
    sessions += (
        SessionRoutes(session=entry.session, model="", slo_us=0, routes=(), infeasible=entry.reason)
        for entry in target.infeasible
    )
    sessions += (
        SessionRoutes(session=entry.name, model=entry.model, slo_us=entry.slo_us, routes=())
        for entry in target.unplaced
    )
    return tuple(sorted(sessions, key=lambda routes: routes.session))


def _session_routes(
    places: Sequence[tuple[BackendPlan, Placement]],
    current: Sequence[Route],
    live: Mapping[BackendName, BackendStatus],
    tight: frozenset[BackendName],
) -> SessionRoutes:
    session = places[0][1].session
    routes = [
        _route(plan, placement, live[plan.backend])
        for plan, placement in places
        if is_ready(live.get(plan.backend), session)
    ]
    if len(routes) < len(places):
        names = {plan.backend for plan, _ in places}
        waits_for_room = any(
            plan.backend in tight and not is_ready(live.get(plan.backend), session)
            for plan, _ in places
        )
        routes += (
            route
            for route in current
            if route.backend not in names
            and is_ready(live.get(route.backend), session)
            and not (waits_for_room and route.backend in tight)
        )
    return SessionRoutes(
        session=session,
        model=places[0][1].model,
        slo_us=places[0][1].slo_us,
        routes=tuple(sorted(routes, key=lambda route: route.backend)),
        infeasible="" if routes else _load_failure(places, live),
    )


def _route(plan: BackendPlan, placement: Placement, status: BackendStatus) -> Route:
    """What admission goes by is how fast the backend *can* turn over, not how slowly it may.

    Backends are eager: a cycle of full batches takes the work in it, which is occupancy times the
    duty cycle. By the planned cycle a half-empty device would refuse what it has time for.
    """
    return Route(
        backend=plan.backend,
        address=status.address,
        rate=placement.rate,
        batch=placement.batch,
        duty_cycle_us=max(round(plan.duty_cycle_us * plan.occupancy), placement.latency_us),
        latency_us=placement.latency_us,
    )


def _load_failure(
    places: Sequence[tuple[BackendPlan, Placement]], live: Mapping[BackendName, BackendStatus]
) -> str:
    """Why a session has no route, when it is because its model would not load anywhere."""
    failures = []
    for plan, placement in places:
        status = live.get(plan.backend)
        message = status.failed.get(placement.session) if status is not None else None
        if message is None:
            return ""
        failures.append(f"{placement.model} failed to load on {plan.backend}: {message}")
    return "; ".join(failures)


def _withdrawals(
    published: Published,
    sessions: Sequence[SessionRoutes],
    frontends: Sequence[FrontendReport],
    live: Mapping[BackendName, BackendStatus],
) -> dict[Spot, int]:
    """Spots that a frontend may still route to although the next table does not."""
    before, after = _spots(published.sessions), _spots(sessions)
    next_version = published.table_version + 1
    withdrawn = dict.fromkeys(before - after, next_version)
    withdrawn.update(
        (spot, version) for spot, version in published.withdrawn.items() if spot not in after
    )
    oldest = min((report.table_version for report in frontends), default=None)
    return {
        spot: version
        for spot, version in withdrawn.items()
        if spot[0] in live and oldest is not None and oldest < version
    }


def _spots(sessions: Sequence[SessionRoutes]) -> set[Spot]:
    return {(route.backend, routes.session) for routes in sessions for route in routes.routes}


def _backends(
    target: Sequence[BackendPlan],
    published: Published,
    withdrawn: Withdrawn,
    sessions: Sequence[SessionRoutes],
    live: Mapping[BackendName, BackendStatus],
) -> tuple[BackendPlan, ...]:
    """The target of each backend, with what still lingers on it at rate 0.

    A backend that is away keeps its entry until the next plan, in case it comes back.
    """
    in_use = set(withdrawn) | _spots(sessions)
    wanted = {plan.backend: plan for plan in target}
    before = {plan.backend: plan for plan in published.backends}
    plans = [plan for plan in target if plan.backend not in live]
    for name in sorted(live):
        lingering = [
            replace(placement, rate=0.0)
            for placement in _leaving(before.get(name), wanted.get(name))
            if (name, placement.session) in in_use
        ]
        basis = wanted.get(name) or before.get(name)
        if basis is not None and (name in wanted or lingering):
            plans.append(_with_lingering(basis, wanted.get(name), lingering, live[name]))
    return tuple(sorted(plans, key=lambda plan: plan.backend))


def _leaving(before: BackendPlan | None, wanted: BackendPlan | None) -> tuple[Placement, ...]:
    kept = {placement.session for placement in wanted.placements} if wanted else set()
    placements = before.placements if before is not None else ()
    return tuple(placement for placement in placements if placement.session not in kept)


def _with_lingering(
    basis: BackendPlan,
    wanted: BackendPlan | None,
    lingering: Sequence[Placement],
    status: BackendStatus,
) -> BackendPlan:
    """One backend's plan; new placements wait while the old ones leave no memory for them."""
    coming = wanted.placements if wanted is not None else ()
    placements = (*coming, *lingering)
    if not _fits(placements, status):
        coming = tuple(placement for placement in coming if placement.session in status.loaded)
        placements = (*coming, *lingering)
    return replace(
        basis,
        placements=placements,
        memory_bytes=_memory_bytes(placements),
        occupancy=basis.occupancy if wanted is not None else 0.0,
    )


def _tight(
    target: Sequence[BackendPlan],
    published: Published,
    live: Mapping[BackendName, BackendStatus],
) -> frozenset[BackendName]:
    """Backends whose memory cannot hold what they have and what they should get together."""
    before = {plan.backend: plan for plan in published.backends}
    return frozenset(
        plan.backend
        for plan in target
        if plan.backend in live
        and not _fits(
            (*plan.placements, *_leaving(before.get(plan.backend), plan)), live[plan.backend]
        )
    )


def _fits(placements: Sequence[Placement], status: BackendStatus) -> bool:
    return not status.memory_bytes or _memory_bytes(placements) <= status.memory_bytes


def _memory_bytes(placements: Sequence[Placement]) -> int:
    return sum({p.model: p.memory_bytes for p in placements}.values())
