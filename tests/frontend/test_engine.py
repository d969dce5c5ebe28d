"""The engine: every request ends in exactly one Answer, whatever happens in between."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.core.cluster import Catalogue
from nexus.core.finding import Finding, Region
from nexus.core.model import EngineKind, Model
from nexus.core.query import Per, Query, Stage
from nexus.core.request import DropReason, ItemResult, Outcome, dropped
from nexus.core.routing import Route, RoutingTable, SessionRoutes
from nexus.core.tensor import DataType, Tensor
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.limits import GRACE_US, IN_FLIGHT_MAX, RETRIES_MAX

SLO_US = 100_000
CAR = Finding("car", 0.9, Region(0, 0, 5, 5))
QUERY = Query(
    name="q",
    slo_us=300_000,
    stages=(
        Stage(name="detect", model="m"),
        Stage(name="read", model="m"),
        Stage(name="name", model="m", after=("detect",), each=("car",)),
        Stage(name="join", model="m", after=("name", "read"), per=Per.FRAME),
    ),
)
SESSIONS = ("s", *(f"q/{stage.name}" for stage in QUERY.stages))


def table(
    version: int = 1, backends: tuple[str, ...] = ("b0", "b1"), infeasible: str = ""
) -> RoutingTable:
    routes = tuple(
        Route(
            backend=name,
            address=f"{name}:1",
            rate=10.0,
            batch=4,
            duty_cycle_us=20_000,
            latency_us=10_000,
        )
        for name in backends
    )
    entries = tuple(
        SessionRoutes(session=name, model="m", slo_us=SLO_US, routes=routes, infeasible=infeasible)
        for name in SESSIONS
    )
    return RoutingTable(version=version, sessions=entries)


CATALOGUE = Catalogue(
    models=(Model(name="m", engine=EngineKind.EMULATED, max_batch=8),), queries=(QUERY,), version=1
)


@dataclass
class Bench:
    """An engine with its effects collected."""

    engine: FrontendEngine = field(default_factory=FrontendEngine)
    now_us: int = 0
    sends: list[events.Send] = field(default_factory=list)
    cancels: list[events.CancelSent] = field(default_factory=list)
    answers: dict[int, events.Answer] = field(default_factory=dict)

    def tell(self, event: events.Event, after_us: int = 0) -> None:
        self.now_us += after_us
        for effect in self.engine.handle(event, self.now_us):
            match effect:
                case events.Send():
                    self.sends.append(effect)
                case events.CancelSent():
                    self.cancels.append(effect)
                case events.Answer():
                    assert effect.request_id not in self.answers, "answered twice"
                    self.answers[effect.request_id] = effect

    def submit(self, request_id: int, items: int = 1, slo_us: int = SLO_US) -> None:
        self.tell(events.Submit(request_id, "s", self.now_us + slo_us, items))

    def reply(self, send: events.Send, outcome: Outcome | None = None, after_us: int = 0) -> None:
        self.tell(events.Replied(send.dispatch.id, outcome or Outcome()), after_us)

    def reason(self, request_id: int) -> DropReason | None:
        return self.answers[request_id].outcome.reason

    def run_out(self) -> None:
        """Tick at every wakeup until the engine wants none."""
        while (wakeup_us := self.engine.next_wakeup_us()) is not None:
            self.now_us = max(self.now_us, wakeup_us)
            self.tell(events.Tick())


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.tell(events.CatalogueChanged(CATALOGUE))
    bench.tell(events.TableChanged(table()))
    for name in ("b0", "b1"):
        bench.tell(events.BackendFound(name))
    return bench


def test_engine_sends_and_answers(bench: Bench) -> None:
    bench.submit(1)
    (send,) = bench.sends
    assert (send.address, send.dispatch.session, send.dispatch.deadline_us) == (
        f"{send.backend}:1",
        "s",
        SLO_US,
    )
    bench.reply(send, Outcome(batch=3), after_us=10_000)
    assert bench.answers[1].outcome == Outcome(batch=3)
    assert bench.engine.in_flight == 0
    assert bench.engine.next_wakeup_us() is None


def test_engine_without_table_session_or_backend_says_which() -> None:
    bench = Bench()
    bench.submit(1)
    assert "no routing table" in bench.answers[1].outcome.message
    bench.tell(events.TableChanged(table()))
    bench.tell(events.Submit(2, "other", SLO_US))
    assert "'other' is not in routing table 1" in bench.answers[2].outcome.message
    bench.submit(3)
    assert "has no backend now" in bench.answers[3].outcome.message
    assert {bench.reason(n) for n in (1, 2, 3)} == {DropReason.NO_ROUTE}


def test_engine_infeasible_session_gives_the_plans_reason() -> None:
    bench = Bench()
    bench.tell(events.TableChanged(table(backends=(), infeasible="l(1) is too long")))
    bench.submit(1)
    assert bench.reason(1) is DropReason.INFEASIBLE
    assert "l(1) is too long" in bench.answers[1].outcome.message


def test_engine_ignores_an_older_table_but_not_a_newer_leaders(bench: Bench) -> None:
    bench.tell(events.TableChanged(table(version=5)))
    bench.tell(events.TableChanged(table(version=4, backends=())))
    assert bench.engine.table.version == 5
    bench.tell(events.TableChanged(RoutingTable(version=1, fence=9)))
    assert (bench.engine.table.version, bench.engine.table.fence) == (1, 9)


def test_engine_splits_a_large_batch_and_joins_it_in_order(bench: Bench) -> None:
    bench.submit(1, items=20)
    assert [(s.first_item, s.dispatch.items) for s in bench.sends] == [(0, 8), (8, 8), (16, 4)]
    for send in reversed(bench.sends):
        rows = send.dispatch.items
        content = bytes(range(send.first_item, send.first_item + rows))
        tensor = Tensor("y", DataType.UINT8, (rows,), content)
        bench.reply(send, Outcome(tensors=(tensor,), execute_us=rows))
    outcome = bench.answers[1].outcome
    assert outcome.tensors[0].content == bytes(range(20))
    assert outcome.execute_us == 8


def test_engine_one_failed_part_fails_the_request_and_cancels_the_rest(bench: Bench) -> None:
    bench.submit(1, items=20)
    bench.reply(bench.sends[1], dropped(DropReason.ERROR, "boom"))
    assert bench.answers[1].outcome.message == "boom"
    others = {bench.sends[0].dispatch.id, bench.sends[2].dispatch.id}
    assert {cancel.dispatch_id for cancel in bench.cancels} == others


def test_engine_late_reply_is_late_and_silence_is_a_deadline(bench: Bench) -> None:
    bench.submit(1)
    bench.reply(bench.sends[0], after_us=SLO_US + 1)
    assert bench.reason(1) is DropReason.LATE
    bench.submit(2)
    assert bench.engine.next_wakeup_us() == bench.now_us + SLO_US + GRACE_US
    bench.run_out()
    assert bench.reason(2) is DropReason.DEADLINE
    assert bench.cancels[-1].dispatch_id == bench.sends[1].dispatch.id
    bench.reply(bench.sends[1])  # Too late to matter, and nothing breaks.


def test_engine_repeats_what_a_lost_backend_had(bench: Bench) -> None:
    bench.submit(1)
    first = bench.sends[0]
    bench.tell(events.BackendLost(first.backend), after_us=1_000)
    second = bench.sends[1]
    assert second.backend != first.backend
    assert second.dispatch.deadline_us == first.dispatch.deadline_us
    bench.reply(first)  # From the dead: no longer known.
    assert not bench.answers
    bench.reply(second)
    assert bench.answers[1].outcome.ok


def test_engine_lost_backend_without_another_or_time_is_told(bench: Bench) -> None:
    bench.submit(1)
    bench.tell(events.BackendLost("b0"))
    bench.tell(events.BackendLost("b1"))
    assert bench.reason(1) is DropReason.BACKEND_LOST
    assert bench.engine.next_wakeup_us() is None


def test_engine_repeats_only_so_often() -> None:
    bench = Bench()
    names = tuple(f"b{i}" for i in range(5))
    bench.tell(events.TableChanged(table(backends=names)))
    for name in names:
        bench.tell(events.BackendFound(name))
    bench.submit(1)
    while 1 not in bench.answers:
        bench.reply(bench.sends[-1], dropped(DropReason.DRAINING))
    assert len(bench.sends) == 1 + RETRIES_MAX
    assert bench.reason(1) is DropReason.DRAINING


def test_engine_sends_nothing_new_to_a_leaving_backend(bench: Bench) -> None:
    bench.submit(1)
    leaving = bench.sends[0].backend
    bench.tell(events.BackendLeaving(leaving))
    for request_id in range(2, 6):
        bench.submit(request_id)
    assert {send.backend for send in bench.sends[1:]} == {"b0", "b1"} - {leaving}
    bench.reply(bench.sends[0])
    assert bench.answers[1].outcome.ok


def test_engine_cancel_and_drain(bench: Bench) -> None:
    bench.submit(1)
    bench.submit(2)
    bench.tell(events.Cancelled(1))
    assert bench.reason(1) is DropReason.CANCELLED
    assert bench.cancels[0].dispatch_id == bench.sends[0].dispatch.id
    bench.tell(events.Drain())
    bench.submit(3)
    bench.tell(events.SubmitQuery(4, "q", bench.now_us + QUERY.slo_us))
    assert bench.reason(3) is bench.reason(4) is DropReason.DRAINING
    bench.reply(bench.sends[1])
    assert bench.answers[2].outcome.ok


def test_engine_bounds_what_is_under_way() -> None:
    bench = Bench()
    bench.tell(events.TableChanged(table(backends=("b0",))))
    bench.tell(events.BackendFound("b0"))
    slow = 3_600_000_000
    for request_id in range(IN_FLIGHT_MAX + 1):
        bench.submit(request_id, slo_us=slow)
    assert list(bench.answers) == [IN_FLIGHT_MAX]
    assert bench.reason(IN_FLIGHT_MAX) is DropReason.QUEUE_FULL
    assert bench.answers[IN_FLIGHT_MAX].outcome.expected_wait_us > 0


def test_engine_too_little_time_is_a_deadline_not_overload(bench: Bench) -> None:
    bench.submit(1, slo_us=5_000)
    assert bench.reason(1) is DropReason.DEADLINE
    assert "needs 10 ms even unloaded; 5 ms are left" in bench.answers[1].outcome.message


def sends_of(bench: Bench, stage: str) -> list[events.Send]:
    return [send for send in bench.sends if send.dispatch.session == f"q/{stage}"]


def test_engine_runs_a_query_through_fan_out_and_join(bench: Bench) -> None:
    bench.tell(events.SubmitQuery(1, "q", QUERY.slo_us))
    assert [send.dispatch.session for send in bench.sends] == ["q/detect", "q/read"]
    bench.reply(bench.sends[0], Outcome(items=(ItemResult((CAR, CAR, Finding("dog", 0.9))),)))
    (crops,) = sends_of(bench, "name")
    assert crops.dispatch.regions == (CAR.region, CAR.region)
    bench.reply(crops, Outcome(items=(ItemResult((CAR,)), ItemResult())))
    assert not sends_of(bench, "join")
    bench.reply(bench.sends[1], Outcome(items=(ItemResult(),)))
    (join,) = sends_of(bench, "join")
    assert join.dispatch.regions == ()
    bench.reply(join)
    answer = bench.answers[1]
    assert answer.outcome.ok
    assert [stage.stage for stage in answer.stages] == ["detect", "read", "name", "join"]
    assert [stage.budget_us for stage in answer.stages] == [SLO_US] * 4
    counts = bench.engine.stages
    assert (counts["q/name"].calls, counts["q/name"].parent_calls) == (2, 1)
    assert bench.engine.arrivals == {"q": 1, "q/detect": 1, "q/read": 1, "q/name": 2, "q/join": 1}


def test_engine_stage_deadlines_leave_time_for_what_follows(bench: Bench) -> None:
    bench.tell(events.SubmitQuery(1, "q", QUERY.slo_us))
    detect, read = bench.sends
    assert detect.dispatch.deadline_us < read.dispatch.deadline_us < QUERY.slo_us
    bench.reply(detect, Outcome(items=(ItemResult((CAR,)),)))
    assert sends_of(bench, "name")[0].dispatch.deadline_us == read.dispatch.deadline_us


def test_engine_failed_root_fails_the_query_and_cancels_its_siblings(bench: Bench) -> None:
    bench.tell(events.SubmitQuery(1, "q", QUERY.slo_us))
    bench.reply(bench.sends[0], dropped(DropReason.ERROR, "boom"))
    assert bench.reason(1) is DropReason.ERROR
    assert bench.answers[1].outcome.message == "stage 'detect': boom"
    assert [cancel.dispatch_id for cancel in bench.cancels] == [bench.sends[1].dispatch.id]


def test_engine_failed_crops_give_a_partial_answer(bench: Bench) -> None:
    bench.tell(events.SubmitQuery(1, "q", QUERY.slo_us))
    bench.reply(bench.sends[0], Outcome(items=(ItemResult((CAR,)),)))
    bench.reply(sends_of(bench, "name")[0], dropped(DropReason.ERROR, "boom"))
    bench.reply(bench.sends[1], Outcome(items=(ItemResult(),)))
    bench.reply(sends_of(bench, "join")[0])
    answer = bench.answers[1]
    assert answer.outcome.ok
    name = answer.stages[2]
    assert (name.failed_items, name.outcome.reason) == (1, DropReason.ERROR)
    assert name.outcome.message == "item 0: boom"


def test_engine_silent_crops_give_a_partial_answer_in_time(bench: Bench) -> None:
    bench.tell(events.SubmitQuery(1, "q", QUERY.slo_us))
    bench.reply(bench.sends[0], Outcome(items=(ItemResult((CAR,)),)))
    bench.reply(bench.sends[1], Outcome(items=(ItemResult(),)))
    bench.run_out()
    answer = bench.answers[1]
    assert answer.outcome.ok
    assert bench.now_us < QUERY.slo_us
    assert [stage.failed_items for stage in answer.stages] == [0, 0, 1, 1]


def test_engine_refuses_a_frame_at_the_door_when_a_later_stage_is_overloaded(bench: Bench) -> None:
    request_id = 100
    while sum(send.dispatch.session == "q/join" for send in bench.sends) < 200:
        request_id += 1
        bench.tell(events.Submit(request_id, "q/join", bench.now_us + 10_000_000))
    bench.sends.clear()
    bench.tell(events.SubmitQuery(1, "q", bench.now_us + QUERY.slo_us))
    assert bench.reason(1) is DropReason.OVERLOADED
    assert not bench.sends
    assert bench.engine.arrivals["q"] == 1  # The planner must see the demand.
    assert bench.engine.arrivals["q/detect"] == 1


class Story(Bench):
    """A bench told random events, that knows who must have been answered."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[int] = []


STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 20), st.integers(1, 200_000)),
    st.tuples(st.just("query"), st.integers(0, 3), st.integers(1, 400_000)),
    st.tuples(st.just("reply"), st.integers(0, 50), st.integers(0, 5)),
    st.tuples(st.just("refuse"), st.integers(0, 50), st.integers(0, len(DropReason) - 1)),
    st.tuples(st.just("cancel"), st.integers(0, 50), st.just(0)),
    st.tuples(st.just("lost"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("found"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("leaving"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("table"), st.integers(0, 7), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 100_000), st.just(0)),
    st.tuples(st.just("drain"), st.just(0), st.just(0)),
)


def take(story: Story, step: tuple[str, int, int], version: int) -> None:
    kind, number, other = step
    match kind:
        case "submit" | "query":
            request_id = len(story.submitted)
            story.submitted.append(request_id)
            deadline_us = story.now_us + other
            if kind == "submit":
                story.tell(events.Submit(request_id, "s", deadline_us, number))
            else:
                story.tell(events.SubmitQuery(request_id, "q", deadline_us))
        case "reply" | "refuse" if story.sends:
            send = story.sends[number % len(story.sends)]
            results = (ItemResult((CAR,) * other),) * send.dispatch.items
            outcome = Outcome(items=results)
            if kind == "refuse":
                outcome = dropped(tuple(DropReason)[other])
            story.reply(send, outcome)
        case "wait":
            end_us = story.now_us + number
            while (wakeup_us := story.engine.next_wakeup_us()) is not None and wakeup_us <= end_us:
                story.now_us = max(story.now_us, wakeup_us)
                story.tell(events.Tick())
            story.now_us = end_us
        case _:
            event = simple_event(kind, number, version)
            if event is not None:
                story.tell(event)


def simple_event(kind: str, number: int, version: int) -> events.Event | None:
    names = tuple(f"b{bit}" for bit in range(3) if number >> bit & 1)
    made: dict[str, events.Event] = {
        "cancel": events.Cancelled(number),
        "lost": events.BackendLost(f"b{number}"),
        "found": events.BackendFound(f"b{number}"),
        "leaving": events.BackendLeaving(f"b{number}"),
        "table": events.TableChanged(table(version, names)),
        "drain": events.Drain(),
    }
    return made.get(kind)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=60))
def test_engine_every_request_ends_in_exactly_one_answer(
    steps: list[tuple[str, int, int]],
) -> None:
    story = Story()
    story.tell(events.CatalogueChanged(CATALOGUE))
    story.tell(events.TableChanged(table()))
    for name in ("b0", "b1"):
        story.tell(events.BackendFound(name))
    for version, step in enumerate(steps, start=2):
        take(story, step, version)
    story.run_out()
    assert sorted(story.answers) == story.submitted
    assert story.engine.in_flight == 0
    sent = Counter(send.dispatch.id for send in story.sends)
    assert set(sent.values()) <= {1}
    # Nothing may be left counted as under way, or admission would refuse for ever.
    for name, expected_us in story.engine.expected_wait_us(story.now_us).items():
        assert expected_us == 10_000, name


def test_engine_tells_which_backends_of_the_table_it_has_lost() -> None:
    bench = Bench()
    bench.tell(events.TableChanged(table()))
    for backend in ("b0", "b1", "stranger"):
        bench.tell(events.BackendFound(backend))
        bench.tell(events.BackendLost(backend))
    told = [bench.engine.lost]
    bench.tell(events.BackendFound("b1"))
    told.append(bench.engine.lost)
    bench.tell(events.TableChanged(table(version=2, backends=("b1",))))
    told.append(bench.engine.lost)
    assert told == [("b0", "b1"), ("b0",), ()]


def test_engine_keeps_a_sessions_routes_until_one_of_the_new_is_connected(bench: Bench) -> None:
    moved = replace(table(version=2, backends=("b0",)).sessions[0], session="other")
    sessions = (*table(backends=("b9",)).sessions, moved)
    bench.tell(events.TableChanged(RoutingTable(version=2, sessions=sessions)))
    bench.submit(1)
    assert bench.sends[-1].backend in {"b0", "b1"}
    assert bench.engine.table.session("other") == moved
    assert (bench.engine.table.version, bench.engine.newest_table.version) == (1, 2)
    bench.tell(events.BackendFound("b9"))
    bench.submit(2)
    assert bench.sends[-1].backend == "b9"
    assert bench.engine.table is bench.engine.newest_table


def test_engine_lets_go_of_routes_that_are_lost_or_withdrawn(bench: Bench) -> None:
    bench.tell(events.TableChanged(table(version=2, backends=("b9",))))
    for backend in ("b0", "b1"):
        bench.tell(events.BackendLost(backend))
    assert bench.engine.table.version == 2
    bench.tell(events.BackendFound("b9"))
    bench.tell(events.TableChanged(table(version=3, backends=())))
    assert bench.engine.table.version == 3
    bench.submit(1)
    assert bench.reason(1) is DropReason.NO_ROUTE
