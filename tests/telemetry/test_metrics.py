"""The table of metrics: Prometheus's naming rules, and that a scrape shows what it declares."""

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from nexus.core.cluster import BackendState, BackendStatus
from nexus.core.errors import UnavailableError
from nexus.core.model import BATCH_LIMIT
from nexus.core.plan import BackendPlan, Infeasible, Placement, Plan
from nexus.core.request import DropReason, Outcome, dropped
from nexus.telemetry import metrics
from nexus.telemetry.backend import BackendMetrics
from nexus.telemetry.frontend import FrontendMetrics
from nexus.telemetry.metric_set import OTHER, MetricSet
from nexus.telemetry.scheduler import SchedulerMetrics
from nexus.telemetry.server import MetricsServer, serve_metrics
from nexus.telemetry.spec import MetricKind, MetricSpec, counter, gauge

PROMTOOL = shutil.which("promtool")
UNITLESS = {
    # Counts and versions of the thing they are named after, and rates whose unit the help says.
    "nexus_frontend_routing_table_version",
    "nexus_frontend_store_up",
    "nexus_backend_plan_version",
    "nexus_backend_store_up",
    "nexus_scheduler_plan_version",
    "nexus_scheduler_plan_devices",
    "nexus_scheduler_plan_devices_needed",
    "nexus_scheduler_plan_spares",
    "nexus_scheduler_lower_bound_devices",
    "nexus_scheduler_infeasible_sessions",
    "nexus_scheduler_session_rate",
    "nexus_scheduler_session_planned_rate",
    "nexus_scheduler_session_unmet_rate",
    "nexus_scheduler_session_degraded",
    "nexus_scheduler_catalogue_doubted",
    "nexus_scheduler_stage_fan_out",
    "nexus_scheduler_leader",
    "nexus_scheduler_lease_fence",
    "nexus_scheduler_backends",
    "nexus_scheduler_store_up",
}
UNITS = ("seconds", "bytes", "ratio", "items", "requests")
RESERVED_LABELS = {"le", "quantile", "job", "instance"}


@pytest.mark.parametrize("spec", metrics.ALL, ids=lambda spec: spec.name)
def test_metric_follows_the_naming_rules(spec: MetricSpec) -> None:
    assert re.fullmatch(r"nexus_(frontend|backend|scheduler)(_[a-z]+)+", spec.name)
    assert (spec.kind is MetricKind.COUNTER) == spec.name.endswith("_total")
    assert not spec.name.endswith(("_count", "_sum", "_bucket", "_info"))
    assert not re.search(r"_(ms|us|milliseconds|microseconds|mb|percent)(_|$)", spec.name)
    if spec.kind is not MetricKind.COUNTER and spec.name not in UNITLESS:
        assert spec.name.endswith(UNITS)
    assert spec.help.endswith(".")


@pytest.mark.parametrize("spec", metrics.ALL, ids=lambda spec: spec.name)
def test_metric_labels_are_words_of_the_vocabulary(spec: MetricSpec) -> None:
    known = {"session", "model", "query", "outcome", "reason", "backend", "device", "state"}
    assert set(spec.labels) <= known | {"trigger"}
    assert not RESERVED_LABELS & set(spec.labels)
    assert len(set(spec.labels)) == len(spec.labels)


@pytest.mark.parametrize("spec", metrics.ALL, ids=lambda spec: spec.name)
def test_metric_buckets_ascend(spec: MetricSpec) -> None:
    assert bool(spec.buckets) == (spec.kind is MetricKind.HISTOGRAM)
    assert list(spec.buckets) == sorted(set(spec.buckets))


def test_metrics_are_declared_once_and_batches_fit_their_buckets() -> None:
    names = [spec.name for spec in metrics.ALL]
    assert len(set(names)) == len(names)
    assert metrics.BATCH_SIZE.buckets[-1] == BATCH_LIMIT


@pytest.fixture
def endpoints() -> Iterator[list[MetricsServer]]:
    servers: list[MetricsServer] = []
    yield servers
    for server in servers:
        server.close()


def scrape(registry: CollectorRegistry, endpoints: list[MetricsServer]) -> str:
    endpoints.append(serve_metrics(registry, "127.0.0.1"))
    url = f"http://127.0.0.1:{endpoints[-1].port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        content: bytes = response.read()
    return content.decode()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("registry", "specs"),
    [
        (FrontendMetrics().registry, metrics.FRONTEND),
        (BackendMetrics().registry, metrics.BACKEND),
        (SchedulerMetrics().registry, metrics.SCHEDULER),
    ],
    ids=["frontend", "backend", "scheduler"],
)
def test_scrape_shows_what_is_declared_and_no_more(
    registry: CollectorRegistry, specs: tuple[MetricSpec, ...], endpoints: list[MetricsServer]
) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(scrape(registry, endpoints))
    }
    assert set(families) == {spec.name.removesuffix("_total") for spec in specs}
    for spec in specs:
        family = families[spec.name.removesuffix("_total")]
        assert family.type == spec.kind.value
        assert family.documentation == spec.help


@pytest.mark.integration
def test_serve_metrics_on_a_taken_port_is_named(endpoints: list[MetricsServer]) -> None:
    registry = FrontendMetrics().registry
    endpoints.append(serve_metrics(registry, "127.0.0.1"))
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{endpoints[0].port}"):
        serve_metrics(registry, "127.0.0.1", endpoints[0].port)


@pytest.mark.integration
def test_serve_metrics_close_frees_the_port() -> None:
    registry = FrontendMetrics().registry
    server = serve_metrics(registry, "127.0.0.1")
    server.close()
    again = serve_metrics(registry, "127.0.0.1", server.port)
    again.close()


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_frontend_answers_are_counted_by_outcome_and_timed_when_good() -> None:
    frontend = FrontendMetrics()
    frontend.answered("a@50ms", "a", Outcome(), 30_000, 20_000)
    frontend.answered("a@50ms", "a", dropped(DropReason.LATE), 60_000, -10_000)
    frontend.answered("a@50ms", "a", dropped(DropReason.OVERLOADED), 100, 49_900)
    requests = "nexus_frontend_requests_total"
    labels = {"session": "a@50ms", "model": "a"}
    assert sample(frontend.registry, requests, **labels, outcome="ok") == 1
    assert sample(frontend.registry, requests, **labels, outcome="overloaded") == 1
    latency = "nexus_frontend_request_latency_seconds"
    assert sample(frontend.registry, f"{latency}_sum", session="a@50ms") == pytest.approx(0.03)
    slack = "nexus_frontend_slack_seconds"
    assert sample(frontend.registry, f"{slack}_count", session="a@50ms") == 2
    assert sample(frontend.registry, f"{slack}_bucket", session="a@50ms", le="0.0") == 1


def test_frontend_queries_stages_and_dispatches_have_series_of_their_own() -> None:
    frontend = FrontendMetrics()
    frontend.query_answered("street", Outcome(), 300_000, 100_000)
    frontend.stage_answered("street/detect", 120_000)
    frontend.dispatched("street/detect", "b0", dropped(DropReason.BACKEND_LOST))
    frontend.slo_targets({"street": 400_000, "street/detect": 180_000})
    frontend.table(version=7, age_us=1_500_000)
    frontend.in_flight(3)
    frontend.expected_wait("street/detect", 25_000)
    frontend.store_up(up=True)
    registry = frontend.registry
    assert (
        sample(registry, "nexus_frontend_query_requests_total", query="street", outcome="ok") == 1
    )
    assert sample(registry, "nexus_frontend_slo_target_seconds", session="street") == 0.4
    assert sample(registry, "nexus_frontend_routing_table_age_seconds") == 1.5
    assert sample(registry, "nexus_frontend_store_up") == 1
    lost = {"session": "street/detect", "backend": "b0", "outcome": "backend_lost"}
    assert sample(registry, "nexus_frontend_dispatches_total", **lost) == 1


def test_frontend_slo_of_a_removed_session_is_gone() -> None:
    frontend = FrontendMetrics()
    frontend.slo_targets({"a": 1_000, "b": 2_000})
    frontend.slo_targets({"b": 3_000})
    assert sample(frontend.registry, "nexus_frontend_slo_target_seconds", session="a") is None
    assert sample(frontend.registry, "nexus_frontend_slo_target_seconds", session="b") == 0.003


def test_backend_batches_fill_the_busy_time() -> None:
    backend = BackendMetrics()
    backend.executed("a@50ms", 8, 14_000)
    backend.executed("b@50ms", 2, 6_000)
    backend.dropped("a@50ms", DropReason.DEADLINE, items=3)
    backend.profile_error("a", measured_us=15_000, profiled_us=10_000)
    registry = backend.registry
    busy = sample(registry, "nexus_backend_device_busy_seconds_total")
    assert busy == pytest.approx(0.02)
    batch = "nexus_backend_batch_size_items_bucket"
    assert sample(registry, batch, session="a@50ms", le="8.0") == 1
    assert sample(registry, batch, session="a@50ms", le="6.0") == 0
    drops = {"session": "a@50ms", "reason": "deadline"}
    assert sample(registry, "nexus_backend_drops_total", **drops) == 3
    assert sample(registry, "nexus_backend_profile_error_ratio", model="a") == 1.5


def test_backend_plan_replaces_the_targets() -> None:
    backend = BackendMetrics()
    backend.planned(3, 80_000, {"a@50ms": 8, "b@50ms": 2})
    backend.planned(4, 60_000, {"b@50ms": 3})
    target = "nexus_backend_batch_target_items"
    assert sample(backend.registry, target, session="a@50ms") is None
    assert sample(backend.registry, target, session="b@50ms") == 3
    assert sample(backend.registry, "nexus_backend_plan_version") == 4
    assert sample(backend.registry, "nexus_backend_duty_cycle_seconds") == 0.06


PLAN = Plan(
    version=5,
    backends=tuple(
        BackendPlan(
            device="v100",
            duty_cycle_us=80_000,
            occupancy=0.5,
            placements=(
                Placement(
                    session="q/detect",
                    model="ssd",
                    slo_us=180_000,
                    batch=8,
                    rate=rate,
                    latency_us=9_000,
                ),
            ),
        )
        for rate in (100.0, 50.0)
    ),
    infeasible=(Infeasible("x@5ms", "l(1) = 8.7 ms"),),
    splits={"q": {"detect": 180_000}},
    devices_needed={"v100": 3},
    unmet={"q/detect": 40.0},
    lower_bound={"v100": 1.6},
)


def test_scheduler_plan_is_told_against_load() -> None:
    scheduler = SchedulerMetrics()
    scheduler.planned(PLAN, moves=2)
    registry = scheduler.registry
    assert sample(registry, "nexus_scheduler_plan_devices", device="v100") == 2
    assert sample(registry, "nexus_scheduler_plan_devices_needed", device="v100") == 3
    assert sample(registry, "nexus_scheduler_lower_bound_devices", device="v100") == 1.6
    assert sample(registry, "nexus_scheduler_session_planned_rate", session="q/detect") == 150
    assert sample(registry, "nexus_scheduler_session_unmet_rate", session="q/detect") == 40
    assert sample(registry, "nexus_scheduler_stage_budget_seconds", session="q/detect") == 0.18
    assert sample(registry, "nexus_scheduler_infeasible_sessions") == 1
    assert sample(registry, "nexus_scheduler_plan_moves_total") == 2


def test_scheduler_counts_backends_by_state_down_to_zero() -> None:
    scheduler = SchedulerMetrics()
    status = BackendStatus(
        backend="b0",
        incarnation=1,
        address="",
        control_address="",
        device="v100",
        state=BackendState.SERVING,
    )
    scheduler.observed({"a@50ms": 12.5}, {"q/car": 2.5}, (status,))
    assert sample(scheduler.registry, "nexus_scheduler_backends", state="serving") == 1
    scheduler.observed({}, {}, ())
    assert sample(scheduler.registry, "nexus_scheduler_backends", state="serving") == 0
    assert sample(scheduler.registry, "nexus_scheduler_session_rate", session="a@50ms") is None


def test_frontend_counts_what_it_answers_as_owner_of_a_pool() -> None:
    frontend = FrontendMetrics()
    frontend.asked(None)
    frontend.asked(Outcome(reason=DropReason.OVERLOADED))
    for outcome in ("ok", "overloaded"):
        assert sample(frontend.registry, "nexus_frontend_asks_total", outcome=outcome) == 1


def test_scheduler_leads_only_while_it_has_a_fence() -> None:
    scheduler = SchedulerMetrics()
    scheduler.leads(17)
    assert sample(scheduler.registry, "nexus_scheduler_lease_fence") == 17
    scheduler.leads(None)
    assert sample(scheduler.registry, "nexus_scheduler_leader") == 0
    assert sample(scheduler.registry, "nexus_scheduler_lease_fence") == 0


def test_metric_set_folds_what_is_over_the_bound_into_other() -> None:
    spec = counter("nexus_test_things_total", "Things.", "session", "reason")
    metric_set = MetricSet((spec,), series_max=2)
    for index in range(5):
        metric_set.count(spec, f"s{index}", "why")
    metric_set.count(spec, "s0", "why")
    registry = metric_set.registry
    assert sample(registry, spec.name, session="s0", reason="why") == 2
    assert sample(registry, spec.name, session="s2", reason="why") is None
    assert sample(registry, spec.name, session=OTHER, reason=OTHER) == 3


def test_metric_set_replace_frees_room_for_new_series() -> None:
    spec = gauge("nexus_test_level", "Level.", "session")
    metric_set = MetricSet((spec,), series_max=2)
    metric_set.replace(spec, {"a": 1.0, "b": 2.0})
    metric_set.replace(spec, {"c": 3.0, "d": 4.0})
    assert sample(metric_set.registry, spec.name, session="d") == 4
    assert sample(metric_set.registry, spec.name, session=OTHER) is None


@pytest.mark.integration
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt: prometheus)")
def test_scrape_passes_promtool(endpoints: list[MetricsServer]) -> None:
    frontend, backend, scheduler = FrontendMetrics(), BackendMetrics(), SchedulerMetrics()
    frontend.answered("a@50ms", "a", Outcome(), 30_000, 20_000)
    backend.executed("a@50ms", 8, 14_000)
    scheduler.planned(PLAN, moves=2)
    for component in (frontend, backend, scheduler):
        text = scrape(component.registry, endpoints)
        assert PROMTOOL is not None
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
