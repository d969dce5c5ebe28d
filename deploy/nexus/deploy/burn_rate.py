"""Multi-window, multi-burn-rate alerts on each session's and query's error budget.

The promise is 99 %, so the budget is 1 % of the requests. An alert fires when both a long and a
short window spend it faster than a factor: the long one makes it significant, the short one ends it
soon after the trouble ends (Google SRE workbook, chapter 5). Refusals count: they keep the latency
promise and still leave the caller without an answer. The caller's own faults do not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nexus.deploy.alert import Alert, Severity
from nexus.deploy.outcomes import BAD, COUNTED, TURNED_AWAY
from nexus.deploy.promql import rate, share
from nexus.telemetry.metrics import QUERY_REQUESTS, REQUESTS
from nexus.telemetry.spec import MetricSpec

BUDGET = 0.01
RATE_MIN = 0.1
"""Requests per second below which a burn rate is noise: one late request would page."""
REFUSED_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Subject:
    """What a promise is made for: the counter of its requests and the label that names it."""

    label: str
    requests: MetricSpec

    def ratio(self, window: str) -> str:
        """Name of the recorded share of bad requests over a window."""
        return f"{self.label}:nexus_requests_bad:ratio_rate{window}"


@dataclass(frozen=True, slots=True)
class Burn:
    """A pair of windows and the factor over both."""

    long: str
    short: str
    factor: float
    hold: str
    severity: Severity


SUBJECTS = (Subject("session", REQUESTS), Subject("query", QUERY_REQUESTS))
BURNS = (
    Burn("1h", "5m", 14.4, "1m", Severity.PAGE),
    Burn("6h", "30m", 6, "5m", Severity.PAGE),
    Burn("1d", "2h", 3, "15m", Severity.TICKET),
    Burn("3d", "6h", 1, "1h", Severity.TICKET),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def recording_group() -> dict[str, Any]:
    """The share of bad requests over every window, computed once for the alerts below."""
    return {
        "name": "nexus-requests-bad",
        "rules": [
            {"record": subject.ratio(window), "expr": _bad_share(subject, window)}
            for subject in SUBJECTS
            for window in WINDOWS
        ],
    }


def burn_rate_group() -> dict[str, Any]:
    """The alerts on the budget, and the faster one on refusals."""
    return {"name": "nexus-promises", "rules": [alert.rule() for alert in _alerts()]}


def _bad_share(subject: Subject, window: str) -> str:
    return share(
        subject.requests,
        subject.label,
        part=BAD,
        whole=COUNTED,
        window=window,
    )


def _alerts() -> Iterator[Alert]:
    for subject in SUBJECTS:
        for burn in BURNS:
            yield _burn_alert(subject, burn)
        yield _refused_alert(subject)


def _burn_alert(subject: Subject, burn: Burn) -> Alert:
    limit = f"{burn.factor:g} * {BUDGET}"
    offender = f"{{{{ $labels.{subject.label} }}}}"
    return Alert(
        name=f"Nexus{subject.label.title()}BudgetBurn{burn.long}",
        expression=f"{subject.ratio(burn.long)} > {limit}"
        f" and {subject.ratio(burn.short)} > {limit}"
        f" and {_busy(subject, burn.short)}",
        hold=burn.hold,
        severity=burn.severity,
        summary=f"{subject.label} {offender} spends its error budget at {burn.factor:g} times the "
        f"rate it can afford: {{{{ $value | humanizePercentage }}}} bad over {burn.long}",
        action="Look at 'Drops by reason' on the dashboard: overloaded and no_route ask for "
        "devices, deadline and late for a new profile, backend_lost and error for the backends' "
        "logs.",
        runbook="Error budget burn",
    )


def _refused_alert(subject: Subject) -> Alert:
    refused = share(
        subject.requests,
        subject.label,
        part=TURNED_AWAY,
        whole=COUNTED,
        window="5m",
    )
    return Alert(
        name=f"Nexus{subject.label.title()}Refused",
        expression=f"{refused} > {REFUSED_MAX} and {_busy(subject, '5m')}",
        hold="5m",
        severity=Severity.TICKET,
        summary=f"{{{{ $value | humanizePercentage }}}} of {subject.label} "
        f"{{{{ $labels.{subject.label} }}}} is refused at admission",
        action="Demand exceeds the plan. Compare 'Devices used, needed and least'; raise "
        "replicas-max of the backends or add machines.",
        runbook="Refused at admission",
    )


def _busy(subject: Subject, window: str) -> str:
    return f"{rate(subject.requests, subject.label, window=window)} > {RATE_MIN}"
