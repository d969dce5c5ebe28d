"""Where the items of one session go: its local routes, its pool, and what is under way."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nexus.core.names import BackendName, SessionName
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import Route, SessionRoutes
from nexus.core.units import ms_from_us
from nexus.frontend.admission import RouteLoad, can_be_in_time
from nexus.frontend.limits import (
    DISPATCH_ITEMS_MIN,
    IN_FLIGHT_MAX,
    NO_ROUTE_RETRY_US,
    REQUEST_ITEMS_MAX,
)
from nexus.frontend.outcomes import overloaded
from nexus.frontend.pools import KnownPool
from nexus.frontend.routing import DeficitRoundRobin
from nexus.frontend.traffic_split import TrafficSplit


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How many items one dispatch may carry, by the session's model.

    Up to ``least`` even where the plan's batch is smaller, and never more than ``most``.
    """

    least: int = DISPATCH_ITEMS_MIN
    most: int = REQUEST_ITEMS_MAX

    def items(self, batch: int) -> int:
        """The limit where the plan fills batches of ``batch``."""
        return min(self.most, max(batch, self.least))


class Share(NamedTuple):
    """``items`` items that one route takes in one dispatch; ``load`` is what is under way on it."""

    route: Route
    load: RouteLoad
    items: int


class SessionDispatcher:
    """One session's routers and loads, kept across routing tables.

    ``served_as`` is the session's name at backends and owners: another while a cheaper variant of
    its model serves it. ``travel_us`` is kept free of every request's time. ``pool`` is the
    session's pool, if it has one; ``in_flight`` counts its items under way everywhere; ``limits``
    follow its model's declaration.
    """

    def __init__(self, session: SessionName, *, travel_us: int) -> None:
        """Begin without routes."""
        self._travel_us = travel_us
        self.session = self.served_as = session
        self.slo_us = 0
        self.pool: KnownPool | None = None
        self.in_flight = 0
        self.limits = DispatchLimits()
        self._infeasible = ""
        self._router = DeficitRoundRobin()
        self._split = TrafficSplit()
        self._loads: dict[BackendName, RouteLoad] = {}

    def update(
        self,
        routes: SessionRoutes | None,
        pool: KnownPool | None,
        reachable: Container[BackendName],
    ) -> None:
        """Take the session's entry of a new table; None when the table does not name it.

        Loads of withdrawn routes stay until their last reply, and come back with the route.
        """
        self.slo_us = routes.slo_us if routes else self.slo_us
        self.served_as = routes.served_as if routes else self.session
        self.pool = pool
        self._infeasible = routes.infeasible if routes else ""
        local = routes.routes if routes else ()
        self._router.update(local)
        self._router.reach(reachable)
        self._split.update(routes.pool_rate if routes else 0.0, sum(r.rate for r in local))
        kept = {backend: load for backend, load in self._loads.items() if load.outstanding}
        for route in local:
            kept[route.backend] = self._loads.get(route.backend) or RouteLoad()
        self._loads = kept

    def reach(self, reachable: Container[BackendName]) -> None:
        """Which backends can be reached has changed."""
        self._router.reach(reachable)

    @property
    def has_local_routes(self) -> bool:
        """Whether a local route can be reached."""
        return bool(self._router.reachable)

    def goes_to_pool(self, items: int) -> bool:
        """Whether it is the pool's turn to take the next items."""
        if self.pool is None:
            return False
        return not self._router.reachable or self._split.goes_to_pool(items)

    def forget(self, backend: BackendName) -> None:
        """Start anew with a backend that went away: what was learnt of it holds no longer."""
        if backend in self._loads:
            self._loads[backend].unlearn()

    def take_turn(self, items: int, left_us: int, now_us: int) -> Share | None:
        """What the route whose turn it is takes, if that is all items in one dispatch, in time.

        They are counted as under way there. This is ``place`` for nearly every request; None: ask
        that.
        """
        route = self._router.turn()
        if route is None or (items > 1 and items > self.limits.items(route.batch)):
            return None
        load = self._loads[route.backend]
        if not can_be_in_time(load.expected_us(route, items, now_us), left_us, self._travel_us):
            return None
        self._router.spend(route, items)
        load.sent(route, items, now_us)
        self.in_flight += items
        return Share(route, load, items)

    def place(
        self, items: int, left_us: int, now_us: int, avoid: BackendName = ""
    ) -> tuple[list[Share], Outcome | None]:
        """Share items out over local routes that can answer them within ``left_us``.

        Returns the shares, already counted as under way, and why the rest (if any) is refused.
        """
        shares: list[Share] = []
        while items:
            route, count = self._next(items, left_us, now_us, avoid)
            if route is None:
                return shares, self._refusal(items, left_us, now_us)
            load = self._loads[route.backend]
            load.sent(route, count, now_us)
            self.in_flight += count
            shares.append(Share(route, load, count))
            items -= count
        return shares, None

    def expected_us(self, items: int, now_us: int) -> int | None:
        """The least expected time to an answer, over all that can be reached; None without any."""
        expected_us = [
            self._loads[route.backend].expected_us(route, items, now_us)
            for route in self._router.reachable
        ]
        if self.pool is not None:
            pooled_us = self.pool.expected_us(self.served_as, now_us)
            expected_us += [] if pooled_us is None else [pooled_us]
        return min(expected_us, default=None)

    def unroutable(self) -> Outcome | None:
        """The refusal when no reachable backend serves the session; None when one does."""
        if self._router.reachable or (self.pool is not None and self.pool.owner.has_members):
            return None
        return self._no_route()

    def queue_full(self, now_us: int) -> Outcome:
        """The refusal when more than IN_FLIGHT_MAX items would be under way."""
        expected_us = self.expected_us(1, now_us) or 0
        return Outcome(
            reason=DropReason.QUEUE_FULL,
            message=f"session {self.session!r} has {self.in_flight} items under way, "
            f"the limit is {IN_FLIGHT_MAX}",
            expected_wait_us=expected_us,
            retry_after_us=expected_us,
        )

    def _next(
        self, items: int, left_us: int, now_us: int, avoid: BackendName
    ) -> tuple[Route | None, int]:
        """Whose turn it is, and how many items it takes: a whole dispatch, or else one batch."""
        for whole in (True, False):
            # Mostly the one whose turn it is can be in time; only if not are all others asked.
            route = None if avoid else self._router.turn()
            if route is None or not self._fits(route, items, left_us, now_us, whole):
                route = self._router.pick(
                    [
                        other
                        for other in self._router.reachable
                        if other.backend != avoid
                        and self._fits(other, items, left_us, now_us, whole)
                    ]
                )
            if route is not None:
                count = self._count(route, items, whole)
                self._router.spend(route, count)
                return route, count
            if items <= self.limits.least:
                break
        return None, 0

    def _count(self, route: Route, items: int, whole: bool) -> int:
        return min(items, self.limits.items(route.batch) if whole else route.batch)

    def _fits(self, route: Route, items: int, left_us: int, now_us: int, whole: bool) -> bool:
        count = self._count(route, items, whole)
        expected_us = self._loads[route.backend].expected_us(route, count, now_us)
        return can_be_in_time(expected_us, left_us, self._travel_us)

    def _refusal(self, items: int, left_us: int, now_us: int) -> Outcome:
        routes: Sequence[Route] = self._router.reachable
        if not routes:
            return self._no_route()
        fastest_us = min(route.batch_us(items) for route in routes)
        if not can_be_in_time(fastest_us, left_us, self._travel_us):
            return dropped(
                DropReason.DEADLINE,
                f"session {self.session!r} needs {ms_from_us(fastest_us):g} ms even unloaded; "
                f"{ms_from_us(max(0, left_us)):g} ms are left",
            )
        expected_us = min(
            self._loads[route.backend].expected_us(route, min(items, route.batch), now_us)
            for route in routes
        )
        return overloaded(f"session {self.session!r}", expected_us, left_us)

    def _no_route(self) -> Outcome:
        if self._infeasible and not self._router.routes:
            return dropped(
                DropReason.INFEASIBLE,
                f"session {self.session!r} cannot be served: {self._infeasible}",
            )
        return dropped(
            DropReason.NO_ROUTE,
            f"session {self.session!r} has no backend now; it is starting, or was lost",
            retry_after_us=NO_ROUTE_RETRY_US,
        )
