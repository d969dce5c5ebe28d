"""Sessions that a cheaper variant of their model serves: another name inside, a word outside."""

from nexus.core.request import Outcome
from nexus.core.routing import (
    Pool,
    PooledSession,
    PoolMember,
    Route,
    RoutingTable,
    SessionRoutes,
)
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.outcomes import joined

SLO_US = 100_000


def local_table(variant: str, version: int) -> RoutingTable:
    route = Route(
        backend="b0", address="b0:1", rate=10, batch=4, duty_cycle_us=20_000, latency_us=10_000
    )
    routes = SessionRoutes(session="s", model="m", slo_us=SLO_US, routes=(route,), variant=variant)
    return RoutingTable(version=version, sessions=(routes,))


def pooled_table(variant: str, version: int) -> RoutingTable:
    routes = SessionRoutes(
        session="s", model="m", slo_us=SLO_US, routes=(), pool="p", pool_rate=9, variant=variant
    )
    pooled = PooledSession(
        session=routes.served_as, slo_us=SLO_US, batch=4, rate=9, latencies_us=(5_000,) * 4
    )
    members = tuple(PoolMember(backend=name, address=f"{name}:1") for name in ("b0", "b1"))
    pool = Pool(name="p", device="gpu", sessions=(pooled,), members=members)
    return RoutingTable(version=version, sessions=(routes,), pools=(pool,))


def engine_with(table: RoutingTable) -> FrontendEngine:
    engine = FrontendEngine()
    engine.handle(events.TableChanged(table), 0)
    for backend in ("b0", "b1"):
        engine.handle(events.BackendFound(backend), 0)
    return engine


def sent(engine: FrontendEngine, request_id: int) -> events.Send:
    effects = engine.handle(events.Submit(request_id, "s", SLO_US), 0)
    (send,) = (effect for effect in effects if isinstance(effect, events.Send))
    return send


def answer(engine: FrontendEngine, send: events.Send) -> Outcome:
    (effect,) = engine.handle(events.Replied(send.dispatch.id, Outcome()), 1_000)
    assert isinstance(effect, events.Answer)
    return effect.outcome


def test_variant_serves_under_a_name_of_its_own_and_the_answer_says_so() -> None:
    engine = engine_with(local_table("small", 1))
    send = sent(engine, 1)
    assert send.dispatch.session == "s~small"
    assert answer(engine, send).served_by == "small"
    assert engine.arrivals == {"s": 1}


def test_variant_may_come_and_go_while_requests_are_under_way() -> None:
    engine = engine_with(local_table("", 1))
    before = sent(engine, 1)
    engine.handle(events.TableChanged(local_table("small", 2)), 0)
    during = sent(engine, 2)
    engine.handle(events.TableChanged(local_table("", 3)), 0)
    after = sent(engine, 3)
    names = [send.dispatch.session for send in (before, during, after)]
    assert names == ["s", "s~small", "s"]
    outcomes = [answer(engine, send).served_by for send in (before, during, after)]
    assert outcomes == ["", "small", ""]


def test_variant_serves_in_a_pool() -> None:
    engine = engine_with(pooled_table("small", 1))
    send = sent(engine, 1)
    assert send.dispatch.session == "s~small"
    assert answer(engine, send).served_by == "small"


def test_owner_answers_asks_by_the_name_it_knows_and_refuses_others() -> None:
    engine = engine_with(pooled_table("small", 1))
    (granted,) = engine.handle(events.Asked("f1", 1, "s~small", 1, SLO_US), 0)
    assert isinstance(granted, events.AnswerAsk)
    assert granted.backend in {"b0", "b1"}
    (refused,) = engine.handle(events.Asked("f1", 2, "s", 1, SLO_US), 0)
    assert isinstance(refused, events.AnswerAsk)
    assert refused.refusal is not None


def test_answer_in_parts_names_the_variant_of_any() -> None:
    assert joined([Outcome(served_by="small"), Outcome()]).served_by == "small"
