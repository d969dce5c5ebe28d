"""A backend in a few lines of virtual time, as the plan describes it, to test admission against.

One session on one device: batches of at most ``batch`` items in deadline order, work-conserving,
with early drop; after each batch the device serves the other sessions of its duty cycle.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus.core.request import Dispatch, DropReason, Outcome, dropped
from nexus.core.routing import Route, RoutingTable, SessionRoutes
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine

NETWORK_US = 300


@dataclass
class World:
    """Virtual time: the events to come, in order."""

    now_us: int = 0
    queue: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    scheduled: int = 0

    def at(self, when_us: int, action: Callable[[], None]) -> None:
        self.scheduled += 1
        heapq.heappush(self.queue, (when_us, self.scheduled, action))

    def run_until(self, end_us: int) -> None:
        while self.queue and self.queue[0][0] <= end_us:
            self.now_us, _, action = heapq.heappop(self.queue)
            action()
        self.now_us = end_us


@dataclass
class ModelBackend:
    """l(b) = alpha b + beta; ``others_us`` is what the rest of the duty cycle takes."""

    world: World
    alpha_us: int
    beta_us: int
    batch: int
    others_us: int = 0
    jitter: random.Random | None = None
    queue: list[tuple[int, int, Dispatch, Callable[[Outcome], None]]] = field(default_factory=list)
    busy: bool = False
    executed: int = 0
    arrived: int = 0

    def latency_us(self, batch: int) -> int:
        return self.alpha_us * batch + self.beta_us

    @property
    def duty_cycle_us(self) -> int:
        return self.latency_us(self.batch) + self.others_us

    @property
    def capacity(self) -> float:
        return self.batch * 1e6 / self.duty_cycle_us

    def route(self, name: str, duty_cycle_us: int) -> Route:
        return Route(
            backend=name,
            address=f"{name}:1",
            rate=self.capacity,
            batch=self.batch,
            duty_cycle_us=duty_cycle_us,
            latency_us=self.latency_us(self.batch),
        )

    def arrive(self, dispatch: Dispatch, reply: Callable[[Outcome], None]) -> None:
        self.arrived += 1
        heapq.heappush(self.queue, (dispatch.deadline_us, self.arrived, dispatch, reply))
        if not self.busy:
            self._execute()

    def _execute(self) -> None:
        now_us = self.world.now_us
        batch: list[tuple[Dispatch, Callable[[Outcome], None]]] = []
        size = min(self.batch, len(self.queue))
        while self.queue and len(batch) < size:
            deadline_us, _, dispatch, reply = heapq.heappop(self.queue)
            if deadline_us < now_us + self.latency_us(size) + NETWORK_US:
                reply(dropped(DropReason.DEADLINE))
                size = min(size, len(batch) + len(self.queue))
            else:
                batch.append((dispatch, reply))
        if not batch:
            self.busy = False
            return
        self.busy = True
        took_us = self.latency_us(len(batch))
        if self.jitter:
            took_us = int(took_us * self.jitter.uniform(0.9, 1.02))
        self.world.at(now_us + took_us, lambda: self._done(batch))

    def _done(self, batch: list[tuple[Dispatch, Callable[[Outcome], None]]]) -> None:
        self.executed += len(batch)
        for _, reply in batch:
            reply(Outcome(batch=len(batch)))
        self.world.at(self.world.now_us + self.others_us, self._execute)


class ModelFrontend:
    """Drives a real FrontendEngine against model backends."""

    def __init__(
        self,
        world: World,
        backends: dict[str, ModelBackend],
        slo_us: int,
        duty_cycle_us: int | None = None,
    ) -> None:
        self.world, self.backends, self.slo_us = world, backends, slo_us
        self.engine = FrontendEngine()
        self.offered = 0
        self.refused = 0
        self.outcomes: dict[int, Outcome] = {}
        self._submitting = False
        routes = tuple(
            backend.route(name, duty_cycle_us or backend.duty_cycle_us)
            for name, backend in backends.items()
        )
        session = SessionRoutes(session="s", model="m", slo_us=slo_us, routes=routes)
        self._apply(
            self.engine.handle(events.TableChanged(RoutingTable(version=1, sessions=(session,))), 0)
        )
        for name in backends:
            self._apply(self.engine.handle(events.BackendFound(name), 0))

    def offer_poisson(self, rate: float, start_us: int, end_us: int, rng: random.Random) -> None:
        when_us = float(start_us)
        while (when_us := when_us + rng.expovariate(rate) * 1e6) < end_us:
            self.world.at(int(when_us), self.offer)

    def offer(self) -> None:
        self.offered += 1
        now_us = self.world.now_us
        self._submitting = True
        event = events.Submit(self.offered, "s", now_us + self.slo_us)
        self._apply(self.engine.handle(event, now_us))
        self._submitting = False

    @property
    def admitted(self) -> int:
        return self.offered - self.refused

    @property
    def in_time(self) -> int:
        return sum(outcome.ok for outcome in self.outcomes.values())

    def _apply(self, effects: tuple[events.Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, events.Send):
                self._send(effect)
            elif isinstance(effect, events.Answer):
                assert effect.request_id not in self.outcomes
                self.outcomes[effect.request_id] = effect.outcome
                self.refused += self._submitting

    def _send(self, effect: events.Send) -> None:
        def reply(outcome: Outcome) -> None:
            event = events.Replied(effect.dispatch.id, outcome)
            self.world.at(
                self.world.now_us + NETWORK_US,
                lambda: self._apply(self.engine.handle(event, self.world.now_us)),
            )

        backend = self.backends[effect.backend]
        self.world.at(
            self.world.now_us + NETWORK_US, lambda: backend.arrive(effect.dispatch, reply)
        )
