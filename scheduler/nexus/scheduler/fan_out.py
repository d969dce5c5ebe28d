"""Fan-out as measured: calls of a stage per call of its parents, over the last half minute.

The paper measures the rate of every stage instead of modelling what detectors find; we measure the
ratio, so that a change of the frame rate moves all stages at once.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nexus.core.cluster import FrontendReport, StageCount
from nexus.core.names import FrontendName, SessionName
from nexus.core.units import US_PER_S

TAU_US = 30 * US_PER_S
PARENT_CALLS_MIN = 20.0
"""Fewer parent calls in the window than this say nothing: the declared fan-out is used."""


@dataclass(slots=True)
class _Window:
    """Calls and parent calls, older ones fading."""

    calls: float = 0.0
    parent_calls: float = 0.0


class FanOutEstimator:
    """Fan-outs by ``QUERY/STAGE``, over all frontends together."""

    def __init__(self, tau_us: int = TAU_US) -> None:
        """``tau_us`` is the time constant with which old calls fade."""
        assert tau_us > 0, tau_us
        self._tau_us = tau_us
        self._windows: dict[SessionName, _Window] = {}
        self._last: dict[tuple[FrontendName, int], FrontendReport] = {}
        self._observed_us: int | None = None

    def observe(self, reports: Iterable[FrontendReport], now_us: int) -> None:
        """Take in the reports of all live frontends."""
        self._fade(now_us)
        current = {(report.frontend, report.incarnation): report for report in reports}
        for source, report in current.items():
            last = self._last.get(source)
            if last is not None and report.at_us > last.at_us:
                self._count(last, report)
        self._last = current
        self._observed_us = now_us

    def fan_out(self, stage: SessionName) -> float | None:
        """The measured fan-out, or None while too little was seen."""
        window = self._windows.get(stage)
        if window is None or window.parent_calls < PARENT_CALLS_MIN:
            return None
        return window.calls / window.parent_calls

    def measured(self) -> dict[SessionName, float]:
        """All fan-outs that are known well enough."""
        found = {stage: self.fan_out(stage) for stage in self._windows}
        return {stage: value for stage, value in found.items() if value is not None}

    def _count(self, last: FrontendReport, report: FrontendReport) -> None:
        nothing = StageCount(0, 0)
        for stage, count in report.stages.items():
            before = last.stages.get(stage, nothing)
            window = self._windows.setdefault(stage, _Window())
            window.calls += max(0, count.calls - before.calls)
            window.parent_calls += max(0, count.parent_calls - before.parent_calls)

    def _fade(self, now_us: int) -> None:
        if self._observed_us is None:
            return
        keep = math.exp((self._observed_us - now_us) / self._tau_us)
        for window in self._windows.values():
            window.calls *= keep
            window.parent_calls *= keep
