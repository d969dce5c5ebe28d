"""Whose fault an outcome is: how dashboards and alerts read the label ``outcome``.

The promise is about admitted requests: 99 % of each session's in time. A refusal keeps the promise
and still costs the caller, so alerts count it and attainment does not.
"""

from collections.abc import Iterable

from nexus.core.request import DropReason

OK = "ok"

CALLER = frozenset({DropReason.CANCELLED, DropReason.INVALID})
"""The caller went away or sent what cannot be read: no burden of ours."""

REFUSED = frozenset(
    {
        DropReason.OVERLOADED,
        DropReason.QUEUE_FULL,
        DropReason.NO_ROUTE,
        DropReason.INFEASIBLE,
        DropReason.DRAINING,
    }
)
"""Not admitted: said at once."""

BROKEN = frozenset(
    {
        DropReason.DEADLINE,
        DropReason.LATE,
        DropReason.BACKEND_LOST,
        DropReason.UPSTREAM,
        DropReason.ERROR,
    }
)
"""Admitted, and then not answered in time."""


def _either(reasons: Iterable[DropReason], *more: str) -> str:
    return "|".join([*more, *sorted(reason.value for reason in reasons)])


ADMITTED = f'outcome=~"{_either(BROKEN, OK)}"'
"""PromQL matcher of requests that were admitted."""
COUNTED = f'outcome!~"{_either(CALLER)}"'
"""PromQL matcher of requests that are ours to answer."""
BAD = f'outcome!~"{_either(CALLER, OK)}"'
"""PromQL matcher of requests that were ours to answer and got none in time."""
TURNED_AWAY = f'outcome=~"{_either(REFUSED)}"'
"""PromQL matcher of requests refused at admission."""
