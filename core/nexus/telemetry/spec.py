"""What a metric is, as data: name, kind, help, labels and buckets."""

from dataclasses import dataclass
from enum import Enum


class MetricKind(Enum):
    """Prometheus's kinds that are in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: ``nexus_COMPONENT_NOUN_UNIT``, in base units (seconds, bytes, ratios).

    ``labels`` must be bounded by what is declared (sessions, models, devices), never by traffic.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def counter(name: str, description: str, *labels: str) -> MetricSpec:
    """A number that only grows; its name ends in ``_total``."""
    return MetricSpec(name, MetricKind.COUNTER, description, labels)


def gauge(name: str, description: str, *labels: str) -> MetricSpec:
    """A number that goes up and down."""
    return MetricSpec(name, MetricKind.GAUGE, description, labels)


def histogram(
    name: str, description: str, *labels: str, buckets: tuple[float, ...] = ()
) -> MetricSpec:
    """A distribution; ``buckets`` defaults to LATENCY_BUCKETS_S."""
    return MetricSpec(name, MetricKind.HISTOGRAM, description, labels, buckets or LATENCY_BUCKETS_S)


LATENCY_BUCKETS_S = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.6,
    0.8,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
)
"""1 ms to 10 s, closest where SLOs lie (20 ms to 1 s): a quantile is only as exact as these."""

SLACK_BUCKETS_S = (
    -1.0,
    -0.3,
    -0.1,
    -0.03,
    -0.01,
    -0.003,
    0.0,
    0.003,
    0.01,
    0.03,
    0.1,
    0.3,
    1.0,
    3.0,
)
"""Deadline minus finish: what lies at or below 0 was late."""

BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
"""Items, up to nexus.core.model.BATCH_LIMIT."""

LOAD_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Making a model resident: weights from disk, and warm-up."""

EPOCH_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Planning: 60 sessions are to take less than 0.2 s."""
