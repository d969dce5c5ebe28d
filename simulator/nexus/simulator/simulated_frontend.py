"""A frontend in virtual time: the real engine over simulated links."""

from collections.abc import Callable
from typing import Any, Protocol

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.events import Cancelled as BackendCancelled
from nexus.backend.events import Watched
from nexus.core.cluster import Catalogue, FrontendReport
from nexus.core.names import BackendName, FrontendName, QueryName, SessionName
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import RoutingTable, backends_of
from nexus.core.units import US_PER_S
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.limits import LOST_REPORT_US
from nexus.simulator.connection import Connection, PeerConnection
from nexus.simulator.ledger import Ledger
from nexus.simulator.process import Process
from nexus.simulator.surroundings import REPORT_US, Surroundings
from nexus.simulator.wakeup import EngineWakeup

RECONNECT_MIN_US = 50_000
RECONNECT_MAX_US = US_PER_S
"""Pauses between tries to connect, doubling: as in ``nexus.frontend.kept_connection``."""

UNSENT = dropped(DropReason.BACKEND_LOST, "there is no connection to the backend")


class Exchange(Protocol):
    """Who makes connections."""

    def connect(self, frontend: "SimulatedFrontend", backend: BackendName) -> Connection | None:
        """A connection to a backend; None when it cannot be reached now."""
        ...

    def connect_peer(
        self, frontend: "SimulatedFrontend", peer: FrontendName
    ) -> PeerConnection | None:
        """A connection to another frontend; None when it cannot be reached now."""
        ...


class SimulatedFrontend(Process):
    """Interprets the engine's effects."""

    def __init__(
        self,
        around: Surroundings,
        name: FrontendName,
        incarnation: int,
        *,
        ledger: Ledger,
        exchange: Exchange,
        payload_bytes: dict[str, int],
    ) -> None:
        """Connected to nobody. ``payload_bytes`` by session name, stages of queries included."""
        super().__init__(around.world, name, incarnation)
        self.engine = FrontendEngine(travel_us=2 * around.network.settings.reserve_us)
        self.table_seen = RoutingTable()
        self.connections: dict[BackendName, Connection] = {}
        self.peers: dict[FrontendName, PeerConnection] = {}
        self._ledger = ledger
        self._exchange = exchange
        self._payload_bytes = payload_bytes
        self._network = around.network
        self._store = around.store
        self._to_store = around.network.lane(name, around.store.name)
        self._connecting: set[BackendName] = set()
        self._routed_names: set[BackendName] = set()
        self._routed_by = (self.table_seen, self.table_seen)
        self._catalogue = Catalogue()
        self._perform: dict[type, Callable[[Any], None]] = {
            events.Answer: self._answer,
            events.Send: self._send,
            events.Ask: self._ask,
            events.AnswerAsk: self._answer_ask,
            events.Watch: self._tell_backend,
            events.CancelSent: self._tell_backend,
        }
        self._submit = self.engine.submit
        self._handle = self.engine.handle
        self._asked = self.engine.asked
        self._answered = ledger.answered
        self._next_wakeup_us = self.engine.next_wakeup_us
        self._wakeup = EngineWakeup(around.world, self._next_wakeup_us, self._tick)

    def start(self, report_at_us: int) -> None:
        """Read what is declared, and begin to report each second."""
        self.read_catalogue(self._store.catalogue)
        self._peers_changed()
        self.world.at(report_at_us, self._report)

    # Requests.

    def submit(self, request_id: int, session: SessionName, deadline_us: int) -> None:
        """A client asks for one item of a session."""
        if not self.running:
            self.wait(self.submit, request_id, session, deadline_us)
            return
        now_us = self.world.now_us
        self._do(self._submit(request_id, session, deadline_us, 1, now_us))

    def submit_query(self, request_id: int, query: QueryName, deadline_us: int) -> None:
        """A client asks for a query on one frame."""
        self.handle(events.SubmitQuery(request_id, query, deadline_us))

    def replied(self, dispatch_ids: tuple[int, ...], outcomes: tuple[Outcome, ...]) -> None:
        """Replies come in from a backend."""
        if len(dispatch_ids) == 1:
            self.handle(events.Replied(dispatch_ids[0], outcomes[0]))
        else:
            self.handle(events.RepliedTogether(dispatch_ids, outcomes))

    def asked(self, event: events.Asked) -> None:
        """A peer asks: the answer is all that follows."""
        if not self.running:
            self.wait(self.asked, event)
            return
        self._answer_ask(self._asked(event, self.world.now_us))

    def handle(self, event: events.Event) -> None:
        """Tell the engine, do what it says."""
        if not self.running:
            self.wait(self.handle, event)
            return
        self._do(self._handle(event, self.world.now_us))

    def _do(self, effects: tuple[events.Effect, ...]) -> None:
        """Do what the engine says, and see when it wants to be woken."""
        for effect in effects:
            self._perform[type(effect)](effect)
        wakeup_us = self._next_wakeup_us()
        if wakeup_us is not None and wakeup_us < self._wakeup.pending_us:
            self._wakeup.arm(wakeup_us)

    def _tick(self) -> None:
        self.handle(events.Tick())

    def _answer(self, effect: events.Answer) -> None:
        self._answered(self.name, effect.request_id, effect.outcome, self.world.now_us)

    def _send(self, effect: events.Send) -> None:
        dispatch = effect.dispatch
        connection = self.connections.get(effect.backend)
        if connection is not None:
            connection.infer(dispatch, self._payload_bytes.get(dispatch.session, 0))
        else:
            self.world.soon(self.handle, events.Replied(dispatch.id, UNSENT))

    def _ask(self, effect: events.Ask) -> None:
        connection = self.peers.get(effect.peer)
        if connection is not None:  # Else it times out.
            ask_id, session, items = effect.ask_id, effect.session, effect.items
            asked = events.Asked(self.name, ask_id, session, items, effect.deadline_us)
            connection.tell(self.name, asked)

    def _answer_ask(self, effect: events.AnswerAsk) -> None:
        connection = self.peers.get(effect.peer)
        if connection is not None:  # Else the ask times out.
            answer = events.AskAnswered(effect.ask_id, effect.backend, effect.refusal)
            connection.tell(self.name, answer)

    def _tell_backend(self, effect: events.Watch | events.CancelSent) -> None:
        connection = self.connections.get(effect.backend)
        if connection is None:
            return
        if isinstance(effect, events.Watch):
            connection.tell_backend(Watched(connection.number, effect.on))
        else:
            key = DispatchKey(connection.number, effect.dispatch_id)
            connection.tell_backend(BackendCancelled(key))

    # The cluster.

    def read_catalogue(self, catalogue: Catalogue) -> None:
        """What is declared was read."""
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self.handle(events.CatalogueChanged(catalogue))

    def read_table(self, table: RoutingTable) -> None:
        """A publication was read: connect to what it names, and say that it is in use."""
        if not self.running:
            self.wait(self.read_table, table)
            return
        if (table.fence, table.version) < (self.table_seen.fence, self.table_seen.version):
            return
        self.table_seen = table
        self.handle(events.TableChanged(table))
        self._follow()
        self._report_now()

    def backend_lost(self, connection: Connection) -> None:
        """A connection is no more; try to have a new one."""
        if not self.running:
            self.wait(self.backend_lost, connection)
            return
        name = connection.backend.name
        if self.connections.get(name) is connection:
            del self.connections[name]
            self.handle(events.BackendLost(name))
            self.world.after(LOST_REPORT_US, self._report_lost)
            self._connect_later(name, RECONNECT_MIN_US)

    def peer_lost(self, connection: PeerConnection) -> None:
        """A connection to another frontend is no more."""
        if not self.running:
            self.wait(self.peer_lost, connection)
            return
        name = connection.other(self.name).name
        if self.peers.get(name) is connection:
            del self.peers[name]
            self._peers_changed()

    def peer_found(self, connection: PeerConnection) -> None:
        """Another frontend has connected, or was connected to."""
        if not self.running:
            self.wait(self.peer_found, connection)
            return
        self.peers[connection.other(self.name).name] = connection
        self._peers_changed()

    def kill(self) -> None:
        """Die: connections close, and the clients' requests fail."""
        super().kill()
        self._ledger.broken_off(self.name)
        for connection in self.connections.values():
            connection.close_by_frontend()
        for peer in self.peers.values():
            peer.close_by(self.name)
        self.connections.clear()
        self.peers.clear()

    def report(self) -> FrontendReport:
        """What this frontend reports."""
        return FrontendReport(
            frontend=self.name,
            incarnation=self.incarnation,
            address=self.name,
            peer_address=self.name,
            at_us=self.world.now_us,
            table_version=self.engine.table.version,
            arrivals=dict(self.engine.arrivals),
            stages=dict(self.engine.stages),
            lost=self.engine.lost,
        )

    def _report(self) -> None:
        if self.alive:
            self.world.after(REPORT_US, self._report)
            if self.running:
                self._report_now()
                self._look_around()

    def _report_lost(self) -> None:
        """A backend that stays away is news that should not wait for the next second."""
        if self.alive and self.running and self.engine.lost:
            self._report_now()

    def _report_now(self) -> None:
        self._to_store.send(self._store.report_frontend, self, self.report())

    def _look_around(self) -> None:
        """Poll: what is declared, and which frontends there are. The lesser name connects."""
        if not self._store.running or not self._network.reaches(self.name, self._store.name):
            return
        self.read_catalogue(self._store.catalogue)
        for report in self._store.frontends():
            name = report.frontend
            if name > self.name and name not in self.peers:
                self._exchange.connect_peer(self, name)

    def _peers_changed(self) -> None:
        names = tuple(sorted((self.name, *self.peers)))
        self.handle(events.PeersChanged(self.name, names))

    def _routed(self) -> set[BackendName]:
        """The backends of the newest table and of the one in use; looked up when one changes."""
        in_use, newest = self.engine.table, self.table_seen
        if in_use is not self._routed_by[0] or newest is not self._routed_by[1]:
            self._routed_by = in_use, newest
            self._routed_names = backends_of(in_use) | backends_of(newest)
        return self._routed_names

    def _follow(self) -> None:
        for name in sorted(self._routed() - self.connections.keys() - self._connecting):
            self._connect_later(name, 0)

    def _connect_later(self, name: BackendName, pause_us: int) -> None:
        """Try after a pause; connecting takes a way there and back."""
        self._connecting.add(name)
        delay_us = pause_us + 2 * self._network.settings.delay_us
        self.world.after(delay_us, self._connect, name, pause_us)

    def _connect(self, name: BackendName, pause_us: int) -> None:
        if not self.running:
            self.wait(self._connect, name, pause_us)
            return
        self._connecting.discard(name)
        if name in self.connections or name not in self._routed():
            return
        connection = self._exchange.connect(self, name)
        if connection is None:
            pause_us = min(max(2 * pause_us, RECONNECT_MIN_US), RECONNECT_MAX_US)
            self._connect_later(name, pause_us)
            return
        self.connections[name] = connection
        self.handle(events.BackendFound(name))
