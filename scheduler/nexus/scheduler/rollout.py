"""From the target plan and what is observed to what may be published now.

The order is load, acknowledge, route, drain, unload (ARCHITECTURE.md section 4, ADR 0012):

- A backend is routed to only while it is SERVING and says that it has the session loaded.
- A placement that left the target stays routed until all backends of the target are ready for
  its session and its pool, if it gets one, admits it. It stays loaded (rate 0 in the plan) until
  every live frontend uses a table without it.
- A dead or restarted backend is ready for nothing, so its routes vanish with the next table.
- A pool routes the sessions that all its members have loaded (pool_rollout.py). A spare is loaded
  and routed as the rest, but nothing waits for it.
- Where old and new do not fit a device's memory together, the new one waits. If what it waits for
  waits in turn for such a device, the old route is withdrawn first: a gap, but no deadlock.

Everything is a function of the target, the last published state and the observation; calling it
again without news changes nothing.
"""

from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from nexus.core.cluster import BackendStatus, FrontendReport
from nexus.core.names import (
    BackendName,
    ModelName,
    PoolName,
    SessionName,
    declared_session,
    variant_of,
)
from nexus.core.plan import BackendPlan, Infeasible, Placement
from nexus.core.routing import Pool, Route, SessionRoutes
from nexus.core.session import Session
from nexus.scheduler.pool_rollout import ProfileOf, pool_rates, roll_pools
from nexus.scheduler.readiness import Live, Place, Wanted, wanted_by

NO_MODELS: Mapping[SessionName, ModelName] = MappingProxyType({})
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
    pools: tuple[Pool, ...] = ()
    withdrawn: Withdrawn = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What lies in the store."""

    backends: tuple[BackendPlan, ...] = ()
    sessions: tuple[SessionRoutes, ...] = ()
    pools: tuple[Pool, ...] = ()
    table_version: int = 0
    withdrawn: Withdrawn = field(default_factory=dict)


def roll_out(
    target: Target,
    published: Published,
    statuses: Sequence[BackendStatus],
    frontends: Sequence[FrontendReport],
    profile: ProfileOf = lambda _placement, _device: None,
    *,
    models: Mapping[SessionName, ModelName] = NO_MODELS,
) -> Rollout:
    """The next plan and table on the way to the target.

    ``profile`` is what owners of pools are told; without one a pool is not routed. ``models`` are
    the declared ones of sessions that a variant may serve.
    """
    live = {status.backend: status for status in statuses}
    wanted = wanted_by(target.backends, live, _tight(target.backends, published, live))
    pools = roll_pools(wanted, published.pools, profile)
    sessions = _sessions(target, published, wanted, pool_rates(wanted, pools), models)
    routed = spots_of(sessions, pools)
    withdrawn = _withdrawals(published, routed, frontends, live)
    backends = _backends(target.backends, published, routed | set(withdrawn), live)
    return Rollout(backends=backends, sessions=sessions, pools=pools, withdrawn=withdrawn)


def spots_of(sessions: Sequence[SessionRoutes], pools: Sequence[Pool]) -> set[Spot]:
    """Where a frontend may send which session by such a table."""
    local = {(route.backend, routes.served_as) for routes in sessions for route in routes.routes}
    return local | {
        (member.backend, session.session)
        for pool in pools
        for session in pool.sessions
        for member in pool.members
    }


def _sessions(
    target: Target,
    published: Published,
    wanted: Wanted,
    pooled: Mapping[SessionName, tuple[PoolName, float]],
    models: Mapping[SessionName, ModelName],
) -> tuple[SessionRoutes, ...]:
    """The routes of every session of the target, and the reasons of those without a place."""
    current = {routes.session: routes for routes in published.sessions}
    joined = {session for session, (pool, _) in pooled.items() if pool == wanted.home(session)}
    sessions = []
    for name, target_name in wanted.serving.items():
        entry = current.get(name) or SessionRoutes(session=name, model="", slo_us=0, routes=())
        before = entry.served_as
        stays = before != target_name and not wanted.arrived(target_name, joined)
        if stays and (before in pooled or _still_ready(before, wanted, entry.routes, ())):
            shown = before
        else:
            shown = target_name
        routes = entry.routes if shown == before else ()
        routed = _session_routes(shown, wanted, routes, pooled.get(shown), joined)
        sessions.append(replace(routed, model=models.get(name, routed.model)))
    sessions += (
        SessionRoutes(session=entry.session, model="", slo_us=0, routes=(), infeasible=entry.reason)
        for entry in target.infeasible
    )
    sessions += (
        SessionRoutes(
            session=declared_session(entry.name),
            model=models.get(declared_session(entry.name), entry.model),
            slo_us=entry.slo_us,
            routes=(),
        )
        for entry in target.unplaced
    )
    return tuple(sorted(sessions, key=lambda routes: routes.session))


def _session_routes(
    session: SessionName,
    wanted: Wanted,
    current: Sequence[Route],
    pooled: tuple[PoolName, float] | None,
    joined: Container[SessionName],
) -> SessionRoutes:
    """The entry of a session under a serving name; one that has a successor only goes on."""
    places = wanted.places.get(session, ())
    local = [p for p in places if p.placement.pool is None]
    ready = [p for p in local if wanted.is_ready(p.backend, session)]
    routes = [_route(place, wanted.live[place.backend]) for place in ready]
    if not wanted.arrived(session, joined):
        routes += _still_ready(session, wanted, current, {place.backend for place in local})
    pool, pool_rate = pooled or (None, 0.0)
    basis = (places or wanted.places[wanted.serving[declared_session(session)]])[0].placement
    return SessionRoutes(
        session=declared_session(session),
        model=basis.model,
        variant=variant_of(session),
        slo_us=basis.slo_us,
        routes=tuple(sorted(routes, key=lambda route: route.backend)),
        infeasible="" if routes or pool else _load_failure(places, wanted.live),
        pool=pool,
        pool_rate=pool_rate,
    )


def _still_ready(
    session: SessionName, wanted: Wanted, current: Sequence[Route], beside: Container[BackendName]
) -> list[Route]:
    """The published routes that may stay until the target's places are ready."""
    waits_for_room = wanted.waits_for_room(session)
    return [
        route
        for route in current
        if route.backend not in beside
        and wanted.is_ready(route.backend, session)
        and not (waits_for_room and route.backend in wanted.tight)
    ]


def _route(place: Place, status: BackendStatus) -> Route:
    """What admission goes by is how fast the backend *can* turn over, not how slowly it may.

    Backends are eager: a cycle of full batches takes the work in it, which is occupancy times the
    duty cycle. By the planned cycle a half-empty device would refuse what it has time for.
    """
    plan, placement = place.plan, place.placement
    return Route(
        backend=plan.backend,
        address=status.address,
        rate=placement.rate,
        batch=placement.batch,
        duty_cycle_us=max(round(plan.duty_cycle_us * plan.occupancy), placement.latency_us),
        latency_us=placement.latency_us,
        spare=placement.spare,
        single_us=placement.single_us,
    )


def _load_failure(places: Sequence[Place], live: Live) -> str:
    """Why a session has no route, when it is because its model would not load anywhere."""
    failures = []
    for place in places:
        placement = place.placement
        status = live.get(place.backend)
        message = status.failed.get(placement.session) if status is not None else None
        if message is None:
            return ""
        failures.append(f"{placement.model} failed to load on {place.backend}: {message}")
    return "; ".join(failures)


def _withdrawals(
    published: Published,
    after: AbstractSet[Spot],
    frontends: Sequence[FrontendReport],
    live: Live,
) -> dict[Spot, int]:
    """Spots that a frontend may still route to although the next table does not."""
    before = spots_of(published.sessions, published.pools)
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


def _backends(
    target: Sequence[BackendPlan],
    published: Published,
    in_use: AbstractSet[Spot],
    live: Live,
) -> tuple[BackendPlan, ...]:
    """The target of each backend, with what still lingers on it at rate 0.

    A backend that is away keeps its entry until the next plan, in case it comes back.
    """
    wanted = {plan.backend: plan for plan in target}
    before = {plan.backend: plan for plan in published.backends}
    plans = [plan for plan in target if plan.backend not in live]
    for name in sorted(live):
        lingering = [
            replace(placement, rate=0.0, spare=False)
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
    live: Live,
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
    """Of the distinct models; of a prefix group that runs with several batch sizes only the most.

    Each of those carries the layers that all of them share, in equal parts over its models.
    """
    models: dict[tuple[str, int], dict[ModelName, int]] = {}
    for placement in placements:
        key = (placement.group or placement.session, placement.batch)
        models.setdefault(key, {})[placement.model] = placement.memory_bytes
    sizes: dict[str, int] = {}
    for (group, _), own in models.items():
        name = group if len(own) > 1 else next(iter(own))
        sizes[name] = max(sizes.get(name, 0), sum(own.values()))
    return sum(sizes.values())
