"""What commands show: tables, top, progress, input words. Pure parts."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from nexus.cli.input_words import tensors_from_words
from nexus.cli.output import table_lines
from nexus.cli.progress_bar import bar_text, progress_on
from nexus.cli.prometheus_text import samples
from nexus.cli.top_view import Look, as_data, as_text, backend_rows, outcomes_of, session_rows
from nexus.client.outputs import list_from
from nexus.core.cluster import BackendState, BackendStatus, ClusterView, FrontendReport
from nexus.core.errors import InvalidArgumentError, NotFoundError
from nexus.core.plan import BackendPlan, Plan
from nexus.core.routing import Pool, PooledSession, PoolMember, Route, RoutingTable, SessionRoutes
from nexus.core.tensor import DataType, TensorSpec
from nexus.profiler.measurement import BatchRow
from nexus.profiler.progress import Progress

PAGE = """\
# HELP nexus_frontend_requests_total Requests.
nexus_frontend_requests_total{session="m@50ms",model="m",outcome="ok"} 100.0
nexus_frontend_requests_total{session="m@50ms",model="m",outcome="overloaded"} 5.0
nexus_frontend_query_requests_total{query="q \\"1\\"",outcome="ok"} 7.0
nexus_frontend_requests_created{session="m@50ms"} 1.7e+09
nonsense
"""


def test_table_sets_numbers_right_and_text_left() -> None:
    assert table_lines(("name", "n"), [("a", 1), ("bcd", 22)]) == [
        "NAME   N",
        "a      1",
        "bcd   22",
    ]
    assert table_lines(("name", "n"), []) == ["NAME  N"]


def test_prometheus_samples_are_those_of_the_metric_alone() -> None:
    found = list(samples(PAGE, "nexus_frontend_requests_total"))
    assert [value for _, value in found] == [100.0, 5.0]
    assert found[1][0] == {"session": "m@50ms", "model": "m", "outcome": "overloaded"}
    assert outcomes_of([PAGE, PAGE])["m@50ms", "ok"] == 200.0
    assert outcomes_of([PAGE])['q "1"', "ok"] == 7.0


def _look(at_us: int, arrivals: int, ok: float, overloaded: float) -> Look:
    status = BackendStatus(
        backend="b0",
        incarnation=1,
        address="h:1",
        control_address="h:2",
        device="v100",
        state=BackendState.SERVING,
        loaded=("m@50ms",),
    )
    report = FrontendReport(
        frontend="f0", incarnation=1, address="h:3", at_us=0, arrivals={"m@50ms": arrivals}
    )
    route = Route(
        backend="b0", address="h:1", rate=120.0, batch=8, duty_cycle_us=30_000, latency_us=9_000
    )
    share = BackendPlan(
        device="v100", duty_cycle_us=30_000, occupancy=0.5, placements=(), backend="b0"
    )
    return Look(
        at_us=at_us,
        view=ClusterView(leader="s0", epoch=3, backends=(status,), frontends=(report,)),
        plan=Plan(backends=(share,)),
        table=RoutingTable(
            sessions=(
                SessionRoutes(session="m@50ms", model="m", slo_us=50_000, routes=(route,)),
                SessionRoutes(
                    session="x@1ms", model="x", slo_us=1_000, routes=(), infeasible="l(1) > 1 ms"
                ),
            )
        ),
        outcomes={("m@50ms", "ok"): ok, ("m@50ms", "overloaded"): overloaded, ("q", "ok"): ok},
    )


def test_top_shows_rates_between_two_looks() -> None:
    before, now = _look(0, 100, 90, 5), _look(2_000_000, 300, 280, 15)
    row, infeasible, query = session_rows(before, now)
    assert (row.session, row.rate, row.planned_rate, row.ok_rate) == ("m@50ms", 100, 120, 95)
    assert (row.drops, row.backends, row.batch, row.slo_ms) == ({"overloaded": 5}, ("b0",), 8, 50)
    assert infeasible.infeasible == "l(1) > 1 ms"
    assert (query.session, query.ok_rate) == ("q", 95)
    (backend,) = backend_rows(now)
    assert (backend.state, backend.occupancy, backend.duty_cycle_ms) == ("serving", 0.5, 30)
    text = as_text(before, now)
    assert "leader s0, epoch 3" in text
    assert "overloaded 5.0" in text
    assert as_data(before, now)["sessions"][0]["rate"] == 100


def test_top_shows_the_members_of_a_pool() -> None:
    before = now = _look(0, 0, 0, 0)
    pool = Pool(
        name="p",
        device="v100",
        sessions=(
            PooledSession(session="m@50ms", slo_us=50_000, batch=9, rate=300, latencies_us=(1,)),
        ),
        members=(
            PoolMember(backend="b1", address="h:4"),
            PoolMember(backend="b2", address="h:5", spare=True),
        ),
    )
    routes = replace(now.table.sessions[0], pool="p", pool_rate=300.0)
    pooled = replace(now, table=replace(now.table, sessions=(routes,), pools=(pool,)))
    row, *_ = session_rows(before, pooled)
    assert (row.pool, row.planned_rate, row.batch) == ("p", 420.0, 9)
    assert row.backends == ("b0", "b1", "b2")
    assert "pool p: b0, b1, b2" in as_text(before, pooled)


def test_top_shows_no_negative_rate_after_a_restart() -> None:
    (row, *_) = session_rows(_look(0, 300, 280, 15), _look(1_000_000, 3, 2, 0))
    assert (row.rate, row.ok_rate, row.drops) == (0, 0, {})


def _progress() -> Progress:
    row = BatchRow(
        batch=2, p50_us=9_000, p95_us=10_000, p99_us=11_000, std_us=10, memory_bytes=0, repeats=20
    )
    return Progress(model="m", done=3, steps=6, what="batch 2", row=row)


def test_progress_is_a_bar_on_a_terminal_and_lines_in_a_pipe() -> None:
    assert bar_text(_progress()).count("█") == 15
    pipe = io.StringIO()
    progress_on(pipe)(_progress())
    assert pipe.getvalue() == "m: batch 2: 10.0 ms, 200.0/s\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_bar_redraws_its_line() -> None:
    terminal = _Terminal()
    progress_on(terminal)(_progress())
    assert terminal.getvalue().startswith("\r")
    assert "\n" not in terminal.getvalue()


SPECS = (
    TensorSpec("x", DataType.FP32, (-1, 2)),
    TensorSpec("image", DataType.BYTES, (-1,)),
)


def test_input_words_take_the_declared_datatype(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"jpeg")
    x, image = tensors_from_words(
        ["x=[[1, 2]]", f"image=@{tmp_path / 'cat.jpg'}"], SPECS, fill=False
    )
    assert (x.datatype, x.shape, list_from(x)) == (DataType.FP32, (1, 2), [1.0, 2.0])
    assert (image.datatype, image.shape, list_from(image)) == (DataType.BYTES, (1,), [b"jpeg"])


def test_input_words_fill_what_is_missing_with_zeros() -> None:
    x, image = tensors_from_words(["x=zeros"], SPECS, fill=True)
    assert list_from(x) == [0.0, 0.0]
    assert list_from(image) == [b""]
    assert tensors_from_words(["x=0.5"], (), fill=True)[0].datatype is DataType.FP32
    assert list_from(tensors_from_words(["x=hello"], (), fill=True)[0]) == [b"hello"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x", "NAME=VALUE"),
        ("=1", "NAME=VALUE"),
        ('x=["a"]', "wants FP32"),
        ("x=[[1],[2,3]]", "ragged"),
    ],
)
def test_input_words_malformed_name_the_input(word: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        tensors_from_words([word], SPECS, fill=False)


def test_input_words_absent_file_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no/such"):
        tensors_from_words(["image=@no/such.jpg"], SPECS, fill=False)
