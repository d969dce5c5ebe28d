"""Declared metrics made live on a registry, with a bound on how many series each may have."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from nexus.telemetry.spec import MetricKind, MetricSpec

SERIES_MAX = 2_000
"""Label combinations of one metric; the rest are folded into one whose labels say ``other``."""

OTHER = "other"

Metric: TypeAlias = Counter | Gauge | Histogram

# Each counter and histogram would else expose a second series with its time of creation.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here


class MetricSet:
    """The metrics of one component. ``registry`` is the component's own, never the global one."""

    def __init__(self, specs: Iterable[MetricSpec], *, series_max: int = SERIES_MAX) -> None:
        """Declare all ``specs`` at once, so that a scrape shows them before their first value."""
        self.registry = CollectorRegistry()
        self._series_max = series_max
        self._metrics: dict[str, Metric] = {}
        # Series are kept here because the library's own look-up costs more than the counting.
        self._series: dict[str, dict[tuple[str, ...], Metric]] = {}
        for spec in specs:
            metric = _create(spec, self.registry)
            self._metrics[spec.name] = metric
            self._series[spec.name] = {} if spec.labels else {(): metric}

    def count(self, spec: MetricSpec, *labels: str, by: float = 1.0) -> None:
        """Add to a counter."""
        metric = self._one_series(spec, labels)
        assert isinstance(metric, Counter), spec
        metric.inc(by)

    def observe(self, spec: MetricSpec, *labels: str, value: float) -> None:
        """Add one value to a histogram."""
        metric = self._one_series(spec, labels)
        assert isinstance(metric, Histogram), spec
        metric.observe(value)

    def set(self, spec: MetricSpec, *labels: str, value: float) -> None:
        """Set a gauge."""
        metric = self._one_series(spec, labels)
        assert isinstance(metric, Gauge), spec
        metric.set(value)

    def replace(self, spec: MetricSpec, values: Mapping[str, float]) -> None:
        """Set a gauge of one label to exactly ``values``: what is gone is exposed no more."""
        metric = self._metrics[spec.name]
        assert isinstance(metric, Gauge), spec
        assert len(spec.labels) == 1, spec
        series = self._series[spec.name]
        for labels in series.keys() - {(label,) for label in values}:
            metric.remove(*labels)
            del series[labels]
        for label, value in values.items():
            self.set(spec, label, value=value)

    def _one_series(self, spec: MetricSpec, labels: tuple[str, ...]) -> Metric:
        series = self._series[spec.name]
        if labels not in series:
            assert len(labels) == len(spec.labels), (spec, labels)
            if len(series) >= self._series_max:
                labels = (OTHER,) * len(spec.labels)
            series[labels] = self._metrics[spec.name].labels(*labels)
        return series[labels]


def _create(spec: MetricSpec, registry: CollectorRegistry) -> Metric:
    if spec.kind is MetricKind.COUNTER:
        return Counter(spec.name, spec.help, spec.labels, registry=registry)
    if spec.kind is MetricKind.GAUGE:
        return Gauge(spec.name, spec.help, spec.labels, registry=registry)
    return Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=registry)
