"""Where the items of one session go: its routes, and what is under way on each."""

from collections.abc import Collection
from dataclasses import dataclass

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
from nexus.frontend.routing import DeficitRoundRobin


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How many items one dispatch may carry, by the session's model.

    Up to ``least`` even where the plan's batch is smaller, and never more than ``most``.
    """

    least: int = DISPATCH_ITEMS_MIN
    most: int = REQUEST_ITEMS_MAX

    def items(self, route: Route) -> int:
        """The limit on one route."""
        return min(self.most, max(route.batch, self.least))


@dataclass(frozen=True, slots=True)
class Share:
    """``items`` items of a request that one route takes in one dispatch."""

    route: Route
    items: int


class SessionDispatcher:
    """One session's router and loads, kept across routing tables."""

    def __init__(self, session: SessionName) -> None:
        """Begin without routes."""
        self.session = session
        self.slo_us = 0
        self._infeasible = ""
        self._router = DeficitRoundRobin()
        self._loads: dict[BackendName, RouteLoad] = {}
        self._in_flight = 0

    def update(self, routes: SessionRoutes | None) -> None:
        """Take the session's entry of a new table; None when the table does not name it.

        Loads of withdrawn routes stay until their last reply, and come back with the route.
        """
        self.slo_us = routes.slo_us if routes else self.slo_us
        self._infeasible = routes.infeasible if routes else ""
        self._router.update(routes.routes if routes else ())
        kept = {backend: load for backend, load in self._loads.items() if load.outstanding}
        for route in self._router.routes:
            kept[route.backend] = self._loads.get(route.backend) or RouteLoad()
        self._loads = kept

    @property
    def in_flight(self) -> int:
        """Items under way."""
        return self._in_flight

    def load(self, backend: BackendName) -> RouteLoad:
        """What is under way on one of the routes, present or withdrawn with dispatches open."""
        return self._loads[backend]

    def forget(self, backend: BackendName) -> None:
        """Start anew with a backend that went away: what was learnt of it holds no longer."""
        if backend in self._loads:
            self._loads[backend].unlearn()

    def place(
        self,
        items: int,
        left_us: int,
        now_us: int,
        reachable: Collection[BackendName],
        limits: DispatchLimits,
    ) -> tuple[list[Share], Outcome | None]:
        """Share items out over routes that can answer them within ``left_us``.

        Returns the shares, already counted as under way, and why the rest (if any) is refused.
        """
        if self._in_flight + items > IN_FLIGHT_MAX:
            return [], self._queue_full(now_us, reachable)
        routes = [route for route in self._router.routes if route.backend in reachable]
        shares: list[Share] = []
        while items:
            route, count = self._next(routes, items, left_us, now_us, limits)
            if route is None:
                return shares, self._refusal(routes, items, left_us, now_us)
            self._loads[route.backend].sent(route, count, now_us)
            self._in_flight += count
            shares.append(Share(route, count))
            items -= count
        return shares, None

    def release(self, backend: BackendName, items: int) -> None:
        """Items that will not be answered are no longer under way."""
        self._loads[backend].released(items)
        self._in_flight -= items

    def answered(self, route: Route, items: int, now_us: int) -> None:
        """Items came back executed."""
        self._loads[route.backend].answered(route, items, now_us)
        self._in_flight -= items

    def expected_us(
        self, items: int, now_us: int, reachable: Collection[BackendName]
    ) -> int | None:
        """The least expected time to an answer over all reachable routes; None without any."""
        return min(
            (
                self._loads[route.backend].expected_us(route, items, now_us)
                for route in self._router.routes
                if route.backend in reachable
            ),
            default=None,
        )

    def unroutable(self, reachable: Collection[BackendName]) -> Outcome | None:
        """The refusal when no reachable backend serves the session; None when one does."""
        if any(route.backend in reachable for route in self._router.routes):
            return None
        return self._no_route()

    def _next(
        self,
        routes: list[Route],
        items: int,
        left_us: int,
        now_us: int,
        limits: DispatchLimits,
    ) -> tuple[Route | None, int]:
        """Whose turn it is, and how many items it takes: a whole dispatch, or else one batch."""
        sizes = [limits.items, _planned_batch] if items > limits.least else [limits.items]
        for size in sizes:
            # Mostly the one whose turn it is can be in time; only if not are all others asked.
            route = self._router.pick(routes)
            if route is not None and not self._fits(
                route, min(items, size(route)), left_us, now_us
            ):
                route = self._router.pick(
                    [r for r in routes if self._fits(r, min(items, size(r)), left_us, now_us)]
                )
            if route is not None:
                count = min(items, size(route))
                self._router.spend(route, count)
                return route, count
        return None, 0

    def _fits(self, route: Route, items: int, left_us: int, now_us: int) -> bool:
        expected_us = self._loads[route.backend].expected_us(route, items, now_us)
        return can_be_in_time(expected_us, left_us)

    def _refusal(self, routes: list[Route], items: int, left_us: int, now_us: int) -> Outcome:
        if not routes:
            return self._no_route()
        fastest_us = min(route.latency_us for route in routes)
        if not can_be_in_time(fastest_us, left_us):
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

    def _queue_full(self, now_us: int, reachable: Collection[BackendName]) -> Outcome:
        expected_us = self.expected_us(1, now_us, reachable) or 0
        return Outcome(
            reason=DropReason.QUEUE_FULL,
            message=f"session {self.session!r} has {self._in_flight} items under way, "
            f"the limit is {IN_FLIGHT_MAX}",
            expected_wait_us=expected_us,
            retry_after_us=expected_us,
        )


def _planned_batch(route: Route) -> int:
    return route.batch
