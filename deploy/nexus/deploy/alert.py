"""One alert, as data and as Prometheus writes it."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Severity(Enum):
    """Who must look: someone now, or someone in working hours."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """``summary`` names the offender; ``action`` is the first thing to do. Both are templates.

    ``runbook`` is the heading of docs/operating.md that says more.
    """

    name: str
    expression: str
    hold: str
    severity: Severity
    summary: str
    action: str
    runbook: str

    def rule(self) -> dict[str, Any]:
        """The rule in Prometheus's form."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.hold,
            "labels": {"severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.action,
                "runbook": f"docs/operating.md#{self.runbook.lower().replace(' ', '-')}",
            },
        }
