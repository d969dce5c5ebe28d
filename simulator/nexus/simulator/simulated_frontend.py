"""A frontend in virtual time: the real engine over simulated links."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nexus.core.cluster import FrontendReport
from nexus.core.names import FrontendName, QueryName, SessionName
from nexus.core.request import Outcome
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine
from nexus.simulator.ledger import Ledger
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World


@dataclass(slots=True)
class SimulatedFrontend:
    """Interprets the engine's effects. ``send`` takes a Send or CancelSent towards its backend."""

    world: World
    name: FrontendName
    ledger: Ledger
    send: Callable[[events.Send | events.CancelSent], None]
    engine: FrontendEngine = field(default_factory=FrontendEngine)
    _requests: int = 0
    _wakeup: Wakeup = field(init=False)

    def __post_init__(self) -> None:
        """Let the engine be woken."""
        self._wakeup = Wakeup(self.world, lambda: self.handle(events.Tick()))

    def submit(self, session: SessionName, slo_us: int, items: int = 1) -> None:
        """A client asks for one session."""
        request_id, deadline_us = self._open(session, slo_us)
        self.handle(events.Submit(request_id, session, deadline_us, items))

    def submit_query(self, query: QueryName, slo_us: int) -> None:
        """A client asks for a query on one frame."""
        request_id, deadline_us = self._open(query, slo_us)
        self.handle(events.SubmitQuery(request_id, query, deadline_us))

    def replied(self, dispatch_id: int, outcome: Outcome) -> None:
        """A reply comes in from a backend."""
        self.handle(events.Replied(dispatch_id, outcome))

    def report(self) -> FrontendReport:
        """What this frontend would report."""
        return FrontendReport(
            frontend=self.name,
            incarnation=1,
            address=self.name,
            at_us=self.world.now_us,
            table_version=self.engine.table.version,
            arrivals=dict(self.engine.arrivals),
            stages=dict(self.engine.stages),
        )

    def handle(self, event: events.Event) -> None:
        """Tell the engine, do what it says."""
        for effect in self.engine.handle(event, self.world.now_us):
            if isinstance(effect, events.Answer):
                self.ledger.answered(
                    self.name, effect.request_id, effect.outcome, self.world.now_us
                )
            elif isinstance(effect, events.Send | events.CancelSent):
                self.send(effect)
        self._wakeup.set(self.engine.next_wakeup_us())

    def _open(self, owner: str, slo_us: int) -> tuple[int, int]:
        self._requests += 1
        deadline_us = self.world.now_us + slo_us
        self.ledger.sent(self.name, self._requests, owner, self.world.now_us, deadline_us)
        return self._requests, deadline_us
