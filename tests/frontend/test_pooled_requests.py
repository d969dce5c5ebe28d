"""Pooled requests in the engine: own pools, asks, grants, lost owners; and no request forgotten."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.core.cluster import Catalogue
from nexus.core.model import EngineKind, Model
from nexus.core.query import Query, Stage
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import Pool, PooledSession, PoolMember, Route, RoutingTable, SessionRoutes
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.limits import ASK_US_MAX, ASKS_OPEN_MAX
from nexus.frontend.ownership import ranking

SLO_US = 100_000
FRONTENDS = ("f0", "f1", "f2")
OWNER = ranking("p", FRONTENDS)[0]
OTHER, THIRD = (name for name in FRONTENDS if name != OWNER)
QUERY = Query(name="q", slo_us=300_000, stages=(Stage(name="look", model="m"),))


def table(version: int = 1, members: int = 3, local_rate: float = 0.0) -> RoutingTable:
    """Session ``s`` and stage ``q/look`` in pool ``p`` of b0, b1, ...; ``s`` also local on l0."""
    local = Route(
        backend="l0",
        address="l0:1",
        rate=local_rate,
        batch=4,
        duty_cycle_us=20_000,
        latency_us=10_000,
    )
    names = ("s", "q/look")
    return RoutingTable(
        version=version,
        sessions=tuple(
            SessionRoutes(
                session=name,
                model="m",
                slo_us=SLO_US,
                routes=(local,) if local_rate and name == "s" else (),
                pool="p",
                pool_rate=100.0,
            )
            for name in names
        ),
        pools=(
            Pool(
                name="p",
                device="d",
                sessions=tuple(
                    PooledSession(
                        session=name,
                        slo_us=SLO_US,
                        batch=8,
                        rate=5_000.0,
                        latencies_us=tuple(10_000 + 2_000 * b for b in range(1, 17)),
                    )
                    for name in names
                ),
                members=tuple(
                    PoolMember(backend=f"b{n}", address=f"b{n}:1") for n in range(members)
                ),
            ),
        ),
    )


CATALOGUE = Catalogue(
    models=(Model(name="m", engine=EngineKind.EMULATED, max_batch=8),), queries=(QUERY,), version=1
)


class Front:
    """One engine, its effects by kind."""

    def __init__(self, name: str, peers: tuple[str, ...] = FRONTENDS) -> None:
        self.name = name
        self.engine = FrontendEngine(travel_us=0)
        self.now_us = 0
        self.did: dict[type, list[events.Effect]] = defaultdict(list)
        self.answers: dict[int, Outcome] = {}
        self.tell(events.CatalogueChanged(CATALOGUE))
        self.tell(events.PeersChanged(name, peers))
        self.tell(events.TableChanged(table()))
        for backend in ("b0", "b1", "b2", "l0"):
            self.tell(events.BackendFound(backend))

    def tell(self, event: events.Event, after_us: int = 0) -> None:
        self.now_us += after_us
        for effect in self.engine.handle(event, self.now_us):
            self.did[type(effect)].append(effect)
            if isinstance(effect, events.Answer):
                assert effect.request_id not in self.answers, "answered twice"
                self.answers[effect.request_id] = effect.outcome

    def submit(self, request_id: int, items: int = 1, after_us: int = 0) -> None:
        self.now_us += after_us
        self.tell(events.Submit(request_id, "s", self.now_us + SLO_US, items))

    @property
    def sends(self) -> list[events.Send]:
        return [effect for effect in self.did[events.Send] if isinstance(effect, events.Send)]

    @property
    def asks(self) -> list[events.Ask]:
        return [effect for effect in self.did[events.Ask] if isinstance(effect, events.Ask)]

    @property
    def watches(self) -> list[events.Watch]:
        return [effect for effect in self.did[events.Watch] if isinstance(effect, events.Watch)]

    def watched(self) -> set[str]:
        on = {effect.backend: effect.on for effect in self.watches}
        return {backend for backend, is_on in on.items() if is_on}

    def run_out(self) -> None:
        while (wakeup_us := self.engine.next_wakeup_us()) is not None:
            self.now_us = max(self.now_us, wakeup_us)
            self.tell(events.Tick())


@pytest.fixture
def owner() -> Front:
    return Front(OWNER)


@pytest.fixture
def other() -> Front:
    return Front(OTHER)


def test_pooled_requests_of_the_owner_are_placed_at_once(owner: Front) -> None:
    for request_id in range(9):
        owner.submit(request_id)
    assert [send.backend for send in owner.sends] == ["b0"] * 8 + ["b1"]
    assert owner.sends[0].address == "b0:1"
    assert not owner.asks
    ids = tuple(send.dispatch.id for send in owner.sends)
    owner.tell(events.RepliedTogether(ids, (Outcome(batch=8),) * 9))
    assert all(outcome.ok for outcome in owner.answers.values())
    assert owner.engine.in_flight == 0


def test_pooled_requests_without_peers_need_nobody() -> None:
    alone = Front("f0", peers=())
    alone.submit(1)
    assert [send.backend for send in alone.sends] == ["b0"]
    assert alone.watched() == {"b0", "b1", "b2"}


def test_pooled_requests_of_others_are_asked_for_and_sent_where_granted(other: Front) -> None:
    other.submit(1)
    (ask,) = other.asks
    assert (ask.peer, ask.session, ask.items, ask.deadline_us) == (OWNER, "s", 1, SLO_US)
    assert not other.sends
    other.tell(events.AskAnswered(ask.ask_id, "b2"), after_us=300)
    assert [send.backend for send in other.sends] == ["b2"]
    other.tell(events.AskAnswered(ask.ask_id, "b1"))  # Twice: ignored.
    assert len(other.sends) == 1
    other.tell(events.Replied(other.sends[0].dispatch.id, Outcome()))
    assert other.answers[1].ok


def test_pooled_requests_are_answered_for_by_the_owner(owner: Front) -> None:
    for ask_id in range(9):
        owner.tell(events.Asked(OTHER, ask_id, "s", 1, SLO_US))
    answers = owner.did[events.AnswerAsk]
    assert answers[0] == events.AnswerAsk(OTHER, 0, "b0")
    assert answers[8] == events.AnswerAsk(OTHER, 8, "b1")
    owner.tell(events.Asked(OTHER, 9, "unknown", 1, SLO_US))
    refusal = owner.did[events.AnswerAsk][-1]
    assert isinstance(refusal, events.AnswerAsk)
    assert refusal.refusal is not None
    assert refusal.refusal.reason is DropReason.NO_ROUTE


def test_pooled_requests_refused_by_the_owner_are_refused(other: Front) -> None:
    other.submit(1)
    refusal = Outcome(reason=DropReason.OVERLOADED, message="full", retry_after_us=5)
    other.tell(events.AskAnswered(other.asks[0].ask_id, refusal=refusal))
    assert other.answers[1] == refusal
    assert other.engine.next_wakeup_us() is None


def test_pooled_requests_refused_by_the_owner_may_be_served_locally(other: Front) -> None:
    other.tell(events.TableChanged(table(2, local_rate=1.0)))
    other.submit(1)
    refusal = dropped(DropReason.OVERLOADED)
    other.tell(events.AskAnswered(other.asks[0].ask_id, refusal=refusal))
    assert [send.backend for send in other.sends] == ["l0"]


def test_pooled_requests_help_themselves_when_the_owner_is_silent(other: Front) -> None:
    other.submit(1)
    assert other.engine.next_wakeup_us() == ASK_US_MAX
    other.tell(events.Tick(), after_us=ASK_US_MAX)
    assert [send.backend for send in other.sends] == ["b0"]
    assert other.sends[0].dispatch.deadline_us == SLO_US


@pytest.mark.parametrize(
    "answer",
    [
        events.AskAnswered(1, refusal=dropped(DropReason.NO_ROUTE)),
        events.AskAnswered(1, refusal=dropped(DropReason.DRAINING)),
        events.AskAnswered(1, "b9"),
    ],
    ids=["knows no such session", "drains", "names an unknown backend"],
)
def test_pooled_requests_help_themselves_when_the_owner_is_of_no_help(
    other: Front, answer: events.AskAnswered
) -> None:
    other.submit(1)
    assert other.asks[0].ask_id == 1
    other.tell(answer)
    assert [send.backend for send in other.sends] == ["b0"]


def test_pooled_requests_ask_the_next_owner_when_the_owner_is_lost() -> None:
    _, heir, last = ranking("p", FRONTENDS)
    asker, successor = Front(last), Front(heir)
    asker.submit(1)
    left = (heir, last)
    asker.tell(events.PeersChanged(last, left))
    assert [ask.peer for ask in asker.asks] == [OWNER, heir]
    successor.submit(1)
    assert not successor.sends
    assert not successor.watched()
    successor.tell(events.PeersChanged(heir, left))
    assert [send.backend for send in successor.sends] == ["b0"]
    assert successor.watched() == {"b0", "b1", "b2"}


def test_pooled_requests_of_a_frontend_without_peer_address_help_themselves() -> None:
    unknown = Front("f9")
    unknown.submit(1)
    assert [send.backend for send in unknown.sends] == ["b0"]
    assert not unknown.watches


def test_pooled_requests_watch_follows_ownership_table_and_connections(owner: Front) -> None:
    assert owner.watched() == {"b0", "b1", "b2"}
    owner.tell(events.BackendLost("b0"))
    owner.watches.clear()
    before = len(owner.watches)
    owner.tell(events.BackendFound("b0"))
    assert [w.backend for w in owner.watches[before:]] == ["b0"]
    owner.tell(events.TableChanged(table(2, members=2)))
    assert owner.watched() == {"b0", "b1"}
    owner.tell(events.PeersChanged(OWNER, (*FRONTENDS, "f3", "f4", "f5", "f6", "f7", "f8")))
    heir = ranking("p", (*FRONTENDS, "f3", "f4", "f5", "f6", "f7", "f8"))[0]
    assert owner.watched() == ({"b0", "b1"} if heir == OWNER else set())


def test_pooled_requests_repeat_what_a_lost_backend_had(owner: Front) -> None:
    owner.submit(1)
    owner.tell(events.BackendLost("b0"), after_us=1_000)
    assert [send.backend for send in owner.sends] == ["b0", "b1"]


def test_pooled_requests_repeat_what_a_backend_does_not_host_yet(owner: Front) -> None:
    owner.submit(1)
    not_here = dropped(DropReason.NO_ROUTE, "not loaded")
    owner.tell(events.Replied(owner.sends[0].dispatch.id, not_here))
    assert [send.backend for send in owner.sends] == ["b0", "b1"]


def test_pooled_requests_are_divided_by_planned_rates(owner: Front) -> None:
    owner.tell(events.TableChanged(table(2, local_rate=50.0)))
    for request_id in range(30):
        owner.submit(request_id, after_us=20_000)
        owner.tell(events.Replied(owner.sends[-1].dispatch.id, Outcome()))
    backends = [send.backend for send in owner.sends]
    assert backends.count("l0") == 10
    assert backends[:6].count("l0") == 2


def test_pooled_requests_cancelled_while_asking_are_over(other: Front) -> None:
    other.submit(1)
    other.tell(events.Cancelled(1))
    assert other.answers[1].reason is DropReason.CANCELLED
    other.tell(events.AskAnswered(other.asks[0].ask_id, "b0"))
    assert not other.sends
    assert other.engine.next_wakeup_us() is None


def test_pooled_requests_of_many_items_are_asked_for_batch_by_batch(other: Front) -> None:
    other.submit(1, items=20)
    assert [ask.items for ask in other.asks] == [8, 8, 4]
    for ask in other.asks:
        other.tell(events.AskAnswered(ask.ask_id, "b0"))
    assert [(send.first_item, send.dispatch.items) for send in other.sends] == [
        (0, 8),
        (8, 8),
        (16, 4),
    ]


def test_pooled_requests_bound_their_asks(other: Front) -> None:
    # Each session is bounded as well, and earlier: two of them cannot reach this limit.
    for request_id in range(ASKS_OPEN_MAX + 1):
        other.tell(events.Submit(request_id, "s", 10**12))
    refused = [outcome for outcome in other.answers.values() if not outcome.ok]
    assert refused[0].reason is DropReason.QUEUE_FULL


def test_pooled_requests_query_stages_are_pooled_too(other: Front) -> None:
    other.tell(events.SubmitQuery(1, "q", QUERY.slo_us))
    (ask,) = other.asks
    assert ask.session == "q/look"
    other.tell(events.AskAnswered(ask.ask_id, "b1"))
    assert other.sends[0].whole_payload
    other.tell(events.Replied(other.sends[0].dispatch.id, Outcome()))
    assert other.answers[1].ok


KINDS = "submit query reply refuse grant deny cancel lost found peers table started asked wait"
STEPS = st.tuples(
    st.sampled_from(KINDS.split()),
    st.integers(0, 60),
    st.integers(0, 60),
)


def take(front: Front, step: tuple[str, int, int], number: int) -> None:
    kind, one, other = step
    reason = tuple(DropReason)[other % len(DropReason)]
    asks, sends = front.asks, front.sends
    match kind:
        case "reply" | "refuse" if sends:
            outcome = Outcome(reason=None if kind == "reply" else reason)
            front.tell(events.Replied(sends[one % len(sends)].dispatch.id, outcome))
        case "grant" if asks:
            front.tell(events.AskAnswered(asks[one % len(asks)].ask_id, f"b{other % 4}"))
        case "deny" if asks:
            front.tell(events.AskAnswered(asks[one % len(asks)].ask_id, refusal=dropped(reason)))
        case "wait":
            end_us = front.now_us + 500 * one
            while (wakeup_us := front.engine.next_wakeup_us()) is not None and wakeup_us <= end_us:
                front.now_us = max(front.now_us, wakeup_us)
                front.tell(events.Tick())
            front.now_us = end_us
        case _:
            event = simple_event(front, step, number)
            if event is not None:
                front.tell(event)


def simple_event(front: Front, step: tuple[str, int, int], number: int) -> events.Event | None:
    kind, one, other = step
    backend = ("b0", "b1", "b2", "l0")[one % 4]
    peers = tuple(name for bit, name in enumerate(FRONTENDS) if one >> bit & 1)
    made: dict[str, events.Event] = {
        "submit": events.Submit(number, "s", front.now_us + SLO_US, 1 + one % 20),
        "query": events.SubmitQuery(number, "q", front.now_us + 5_000 * one),
        "cancel": events.Cancelled(one),
        "lost": events.BackendLost(backend),
        "found": events.BackendFound(backend),
        "peers": events.PeersChanged(front.name, peers),
        "table": events.TableChanged(table(number, one % 4, float(other % 3))),
        "started": events.BatchStarted(backend, "s", 1, 1_000 * one, other),
        "asked": events.Asked("f9", number, "s", 1 + other % 12, front.now_us + 2_000 * one),
    }
    return made.get(kind)


@settings(max_examples=150)
@given(st.sampled_from(FRONTENDS), st.lists(STEPS, max_size=60))
def test_pooled_requests_end_in_exactly_one_answer_whatever_is_lost(
    name: str, steps: list[tuple[str, int, int]]
) -> None:
    front = Front(name)
    for number, step in enumerate(steps, start=100):
        take(front, step, number)
    front.run_out()
    offered = [n for n, step in enumerate(steps, start=100) if step[0] in {"submit", "query"}]
    assert sorted(front.answers) == offered
    assert front.engine.in_flight == 0
    asked = [step for step in steps if step[0] == "asked"]
    assert len(front.did[events.AnswerAsk]) == len(asked)
    ids = [send.dispatch.id for send in front.sends]
    assert len(ids) == len(set(ids))
