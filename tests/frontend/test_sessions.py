"""Which session a request means, and what an unknown one is told."""

import pytest

from nexus.core.cluster import Catalogue
from nexus.core.errors import NotFoundError
from nexus.core.query import Query, Stage
from nexus.core.routing import RoutingTable, SessionRoutes
from nexus.core.session import Session
from nexus.frontend.sessions import SessionDirectory

DIRECTORY = SessionDirectory(
    Catalogue(
        sessions=(
            Session(model="a", slo_us=200_000),
            Session(model="a", slo_us=50_000),
            Session(model="b", slo_us=50_000),
        )
    ),
    RoutingTable(
        version=1,
        sessions=(SessionRoutes(session="q/s", model="c", slo_us=9_000, routes=()),),
    ),
)


def test_sessions_without_a_wish_the_tightest_is_meant() -> None:
    assert DIRECTORY.of_model("a", None).name == "a@50ms"


@pytest.mark.parametrize(
    ("within_us", "name"),
    [(10_000, "a@50ms"), (50_000, "a@50ms"), (199_999, "a@50ms"), (200_000, "a@200ms")],
)
def test_sessions_the_loosest_that_is_fast_enough_is_meant(within_us: int, name: str) -> None:
    assert DIRECTORY.of_model("a", within_us).name == name


def test_sessions_an_slo_tighter_than_all_is_not_found() -> None:
    assert DIRECTORY.with_slo("a", 60_000).name == "a@50ms"
    with pytest.raises(NotFoundError, match=r"within 40 ms; there is a@200ms, a@50ms"):
        DIRECTORY.with_slo("a", 40_000)


def test_sessions_named_must_be_of_the_model() -> None:
    assert DIRECTORY.named("a@200ms", "a").slo_us == 200_000
    with pytest.raises(NotFoundError, match=r"'b@50ms' of model 'a' .* a@200ms, a@50ms"):
        DIRECTORY.named("b@50ms", "a")


def test_sessions_of_query_stages_are_meant_only_by_name() -> None:
    assert DIRECTORY.named("q/s", "c").slo_us == 9_000
    with pytest.raises(NotFoundError, match=r"nexus apply.*q/s"):
        DIRECTORY.of_model("c", None)
    assert DIRECTORY.names_of("c") == ("q/s",)
    assert [session.name for session in DIRECTORY.planned] == ["q/s"]


def test_sessions_that_are_infeasible_stay_known_as_declared() -> None:
    infeasible = tuple(
        SessionRoutes(session=name, model="", slo_us=0, routes=(), infeasible="too slow")
        for name in ("a@50ms", "q/s", "deleted@9ms")
    )
    query = Query(name="q", slo_us=30_000, stages=(Stage(name="s", model="c"),))
    directory = SessionDirectory(
        Catalogue(sessions=(Session(model="a", slo_us=50_000),), queries=(query,)),
        RoutingTable(version=1, sessions=infeasible),
    )
    assert directory.of_model("a", None).name == "a@50ms"
    assert directory.named("q/s", "c").slo_us == 30_000
    assert [(s.name, s.slo_us) for s in directory.planned] == [("a@50ms", 50_000), ("q/s", 30_000)]
