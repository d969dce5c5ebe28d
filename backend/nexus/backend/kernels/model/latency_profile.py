"""l(b) of a recurrent model for the scheduler, by the model instead of a stopwatch.

A profile takes no device this way: it is there before the first machine with one is. The batch is
capped where latency would break the SLO: kernels for larger batches are then neither planned for
nor compiled (GRNN restricts its choices in the same way).
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

from nexus.backend.kernels.model import cpu_planner, gpu_planner
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.gpu import Gpu
from nexus.backend.kernels.model.workload import Workload
from nexus.core.errors import InfeasibleError, InvalidArgumentError
from nexus.core.model import BATCH_LIMIT
from nexus.core.profile import Profile

LATENCIES_IN_SLO = 2
"""A request that just missed a batch waits for the next and is served by it: 2 l(b) (Nexus,
section 4)."""


def cpu_latency_us(workload: Workload, constants: CpuConstants) -> float:
    """l(b) on this CPU by the best plan for the workload's batch."""
    return cpu_planner.decide(workload, constants).chosen.cost.total_us


def gpu_latency_us(workload: Workload, gpu: Gpu) -> float:
    """The same on a GPU."""
    return gpu_planner.decide(workload, gpu).cost.total_us


def predicted_profile(
    model: str,
    device: str,
    workload: Workload,
    latency_us: Callable[[Workload], float],
    *,
    batches: Sequence[int],
) -> Profile:
    """The profile of a model that is this stack and nothing else of weight.

    Args:
        model: Its name.
        device: The type that plans call it.
        workload: Of one sequence; its batch does not matter.
        latency_us: One of the functions above, for one device.
        batches: Those that are predicted; one between takes the next one's time. The last is the
            profile's.

    Raises:
        InvalidArgumentError: there are none, or one is not in 1..BATCH_LIMIT.
    """
    known = sorted(set(batches))
    if not known or known[0] < 1 or known[-1] > BATCH_LIMIT:
        raise InvalidArgumentError(
            f"a profile of {model!r} at batches {known}: need some, in 1..{BATCH_LIMIT}",
            reason="invalid_batch",
        )
    times = {one: max(1, ceil(latency_us(replace(workload, batch=one)))) for one in known}
    max_batch = known[-1]
    following = [known[bisect_left(known, batch)] for batch in range(1, max_batch + 1)]
    shape = workload.shape
    weights = sum(shape.directions * shape.layer(index).weights for index in range(shape.layers))
    states = shape.states * shape.hidden_size * (2 if shape.cell.has_cell_state else 1)
    sequence = workload.steps * (shape.input_size + shape.output_size)
    return Profile(
        model=model,
        device=device,
        latencies_us=tuple(times[batch] for batch in following),
        memory_bytes=weights * workload.precision.weight_bytes
        + 4 * max_batch * (states + sequence),
    )


def capped(profile: Profile, slo_us: int) -> Profile:
    """The profile up to the largest batch that meets an SLO; its larger batches are forbidden.

    Raises:
        InfeasibleError: not even one item at a time does.
    """
    batch = profile.largest_batch_within(slo_us / LATENCIES_IN_SLO)
    if not batch:
        raise InfeasibleError(
            f"{profile.model!r} on {profile.device!r} takes {profile.latencies_us[0]} us for one "
            f"item, and a request may wait as long again: an SLO of {slo_us} us cannot be met",
            reason="slo_infeasible",
        )
    return replace(
        profile,
        latencies_us=profile.latencies_us[:batch],
        deviations_us=profile.deviations_us[:batch],
    )
