"""Time on the GPU: events around calls that take turns, and graphs that replay them."""

import statistics
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import torch

ROUNDS = 30
WARM_UPS = 3

Call: TypeAlias = Callable[[], object]


class Clock(Protocol):
    """Times calls on one machine."""

    def medians_us(self, calls: Mapping[str, Call]) -> dict[str, float]:
        """Median of each, the calls taking turns."""

    def graphed(self, call: Call) -> Call:
        """The same work, captured once, to be replayed."""


class GpuClock:
    """CUDA events and CUDA graphs, through torch."""

    def medians_us(self, calls: Mapping[str, Call]) -> dict[str, float]:
        """See `Clock`."""
        times: dict[str, list[float]] = {name: [] for name in calls}
        for round_ in range(-WARM_UPS, ROUNDS):
            for name, call in calls.items():
                taken = _once_us(call)
                if round_ >= 0:
                    times[name].append(taken)
        return {name: statistics.median(taken) for name, taken in times.items()}

    def graphed(self, call: Call) -> Call:
        """See `Clock`; a few calls on a stream beside it first, as torch asks for."""
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                call()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay


def _once_us(call: Call) -> float:
    begin, end = _event(), _event()
    begin.record()
    call()
    end.record()
    end.synchronize()
    elapsed_ms: float = begin.elapsed_time(end)
    return elapsed_ms * 1e3


def _event() -> torch.cuda.Event:
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event
