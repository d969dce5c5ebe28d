"""What ModelStatistics answers: counts and durations by model since this frontend started."""

from collections import Counter
from dataclasses import dataclass, field

from nexus.core.model import Model
from nexus.core.names import ModelName
from nexus.core.request import Outcome
from nexus.inference import open_inference_pb2 as pb

_NS_PER_US = 1_000
_MS_PER_US = 1_000


@dataclass(slots=True)
class _Totals:
    requests: int = 0
    failures: int = 0
    items: int = 0
    executions: float = 0.0
    success_us: int = 0
    failure_us: int = 0
    queue_us: int = 0
    execute_us: int = 0
    last_wall_ms: int = 0
    batches: Counter[int] = field(default_factory=Counter)
    batch_us: Counter[int] = field(default_factory=Counter)


class ModelStatistics:
    """Running totals. A frontend sees its own requests only; Prometheus has the sum over all."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._totals: dict[ModelName, _Totals] = {}

    def count(
        self, model: ModelName, items: int, outcome: Outcome, latency_us: int, wall_us: int
    ) -> None:
        """Count a request that ended at ``wall_us`` of the wall clock."""
        totals = self._totals.setdefault(model, _Totals())
        if not outcome.ok:
            totals.failures += 1
            totals.failure_us += latency_us
            return
        totals.requests += 1
        totals.items += items
        totals.success_us += latency_us
        totals.queue_us += outcome.queue_us
        totals.execute_us += outcome.execute_us
        totals.last_wall_ms = wall_us // _MS_PER_US
        batch = max(outcome.batch, 1)
        # This request's share of the batches it was in: others' items filled the rest.
        totals.executions += items / batch
        totals.batches[batch] += 1
        totals.batch_us[batch] += outcome.execute_us

    def of_model(self, model: Model) -> pb.ModelStatistics:
        """The totals of one model, as the protocol has them."""
        totals = self._totals.get(model.name, _Totals())
        statistics = pb.ModelStatistics(
            name=model.name,
            version=model.version,
            last_inference=totals.last_wall_ms,
            inference_count=totals.items,
            execution_count=round(totals.executions),
            inference_stats=pb.InferStatistics(
                success=_duration(totals.requests, totals.success_us),
                fail=_duration(totals.failures, totals.failure_us),
                queue=_duration(totals.requests, totals.queue_us),
                compute_infer=_duration(totals.requests, totals.execute_us),
            ),
        )
        for batch, count in sorted(totals.batches.items()):
            duration = _duration(count, totals.batch_us[batch])
            statistics.batch_stats.add(batch_size=batch, compute_infer=duration)
        return statistics


def _duration(count: int, microseconds: int) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=microseconds * _NS_PER_US)
