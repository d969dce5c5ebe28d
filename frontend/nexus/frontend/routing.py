"""Deficit round-robin over the planned rates of a session's backends.

Each route earns credit in proportion to its planned rate and spends one credit an item, so every
backend gets the share of the items that the plan sized its batches for (nexus.md 1.5: load
balancing at the frontend, with no coordination between frontends).
"""

import math
from collections.abc import Container, Sequence

from nexus.core.names import BackendName
from nexus.core.routing import Route

# A sum of float credits that should be 1 may fall short of it by rounding.
_ONE = 1.0 - 1e-6


class DeficitRoundRobin:
    """The routes of one session and the credit of each.

    Credit may go negative when a dispatch carries several items: the debt is paid by sitting out
    later rounds, so shares hold in items, not in dispatches.
    """

    def __init__(self) -> None:
        """Begin without routes."""
        self._routes: tuple[Route, ...] = ()
        self._reachable: tuple[Route, ...] = ()
        self._counted: Sequence[Route] = ()
        self._only_spares = False
        self._weights: dict[BackendName, float] = {}
        self._credits: dict[BackendName, float] = {}
        self._cursor = 0

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes, in the table's order."""
        return self._routes

    def update(self, routes: tuple[Route, ...]) -> None:
        """Take new routes; a backend that stays keeps its credit, a new one begins with a round."""
        self._weights = _weights(routes)
        self._credits = {
            backend: self._credits.get(backend, weight) for backend, weight in self._weights.items()
        }
        self._routes = self._reachable = routes
        self._count()
        self._cursor = 0 if not routes else self._cursor % len(routes)

    @property
    def reachable(self) -> tuple[Route, ...]:
        """The routes that are picked from, as of the last ``reach``."""
        return self._reachable

    def reach(self, backends: Container[BackendName]) -> None:
        """Pick from these only, until the routes change."""
        self._reachable = tuple(route for route in self._routes if route.backend in backends)
        self._count()
        self._cursor = 0 if not self._reachable else self._cursor % len(self._reachable)

    def turn(self) -> Route | None:
        """Whose turn it is among all that can be reached; None when nobody can. Then ``spend``.

        A route that is not among them (lost, or too busy to be in time) earns nothing meanwhile:
        it must not be flooded when it comes back.
        """
        if not self._counted:
            return None
        route = self._next_able()
        if route is None:
            self._earn_until_one_can_pay(self._counted)
            route = self._next_able()
        assert route is not None
        return route

    def pick(self, candidates: Sequence[Route]) -> Route | None:
        """Whose turn it is among ``candidates``, some of those that can be reached."""
        if not candidates:
            return None
        candidates = without_spares(candidates)
        names = {route.backend for route in candidates}
        route = self._next_able(names)
        if route is None:
            self._earn_until_one_can_pay(candidates)
            route = self._next_able(names)
        assert route is not None, "a candidate is not a reachable route of this session"
        return route

    def spend(self, route: Route, items: int) -> None:
        """Charge a route for the items it was sent."""
        self._credits[route.backend] -= items

    def _count(self) -> None:
        self._counted = without_spares(self._reachable)
        self._only_spares = bool(self._counted) and self._counted[0].spare

    def _earn_until_one_can_pay(self, candidates: Sequence[Route]) -> None:
        rounds = min(
            math.ceil((_ONE - self._credits[route.backend]) / self._weights[route.backend])
            for route in candidates
        )
        for route in candidates:
            self._credits[route.backend] += rounds * self._weights[route.backend]

    def _next_able(self, names: Container[BackendName] | None = None) -> Route | None:
        routes, credit, position = self._reachable, self._credits, self._cursor
        for _ in routes:
            route = routes[position]
            # The next pick begins one further on: it interleaves where the paper's bursts.
            position = position + 1 if position + 1 < len(routes) else 0
            able = not route.spare or self._only_spares if names is None else route.backend in names
            if able and credit[route.backend] >= _ONE:
                self._cursor = position
                return route
        return None


def without_spares(routes: Sequence[Route]) -> Sequence[Route]:
    """Those that are no spares; the spares where there is nothing else."""
    return [route for route in routes if not route.spare] or routes


def _weights(routes: tuple[Route, ...]) -> dict[BackendName, float]:
    """Credit per round: the rate in units of the smallest positive rate of the session."""
    positive = [route.rate for route in routes if route.rate > 0]
    smallest = min(positive, default=1.0)
    # A route planned at no rate still serves when no other can: it earns as the smallest does.
    return {route.backend: max(route.rate, smallest) / smallest for route in routes}
