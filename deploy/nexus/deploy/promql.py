"""PromQL expressions over declared metrics; what is not declared cannot be written."""

from nexus.telemetry.spec import MetricKind, MetricSpec

RATE_WINDOW = "$__rate_interval"
"""Grafana fills it in: wide enough for the scrape interval and the zoom."""


def select(spec: MetricSpec, where: str = "", *, suffix: str = "") -> str:
    """``name{where}``; ``suffix`` is one of a histogram's ``_bucket``, ``_sum``, ``_count``."""
    return f"{spec.name}{suffix}{{{where}}}" if where else f"{spec.name}{suffix}"


def rate(
    spec: MetricSpec, *by: str, where: str = "", window: str = RATE_WINDOW, suffix: str = ""
) -> str:
    """Growth per second of a counter, summed by labels."""
    assert spec.kind is MetricKind.COUNTER or suffix, spec
    return f"sum{_by(by)} (rate({select(spec, where, suffix=suffix)}[{window}]))"


def increase(spec: MetricSpec, *by: str, where: str = "", window: str = RATE_WINDOW) -> str:
    """Growth of a counter over the window, summed by labels."""
    assert spec.kind is MetricKind.COUNTER, spec
    return f"sum{_by(by)} (increase({select(spec, where)}[{window}]))"


def share(spec: MetricSpec, *by: str, part: str, whole: str, window: str = RATE_WINDOW) -> str:
    """The part of a counter's growth; 0, not absent, while no series matches ``part``."""
    of_part = rate(spec, *by, where=part, window=window)
    of_whole = rate(spec, *by, where=whole, window=window)
    return f"({of_part} or {of_whole} * 0) / {of_whole}"


def quantile(q: float, spec: MetricSpec, *by: str, where: str = "") -> str:
    """A quantile of a histogram over the window."""
    assert spec.kind is MetricKind.HISTOGRAM, spec
    return f"histogram_quantile({q}, {rate(spec, 'le', *by, where=where, suffix='_bucket')})"


def mean(spec: MetricSpec, *by: str, where: str = "") -> str:
    """The mean of a histogram over the window."""
    assert spec.kind is MetricKind.HISTOGRAM, spec
    total = rate(spec, *by, where=where, suffix="_sum")
    return f"{total} / {rate(spec, *by, where=where, suffix='_count')}"


def aggregate(how: str, spec: MetricSpec, *by: str, where: str = "") -> str:
    """A gauge under ``sum``, ``max``, ``min`` or ``avg``, by labels."""
    assert spec.kind is MetricKind.GAUGE, spec
    return f"{how}{_by(by)} ({select(spec, where)})"


def without_variables(expression: str, window: str) -> str:
    """The expression as one would type it into Prometheus: everything chosen, a fixed window."""
    return (
        expression.replace(RATE_WINDOW, window).replace("$session", ".*").replace("$instance", ".*")
    )


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
