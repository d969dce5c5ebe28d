"""Which plan the CPU kernels run a stack by: enumerate, prune by what caches and rows allow, rank.

The space is small (some dozens) and the model costs microseconds, so it is searched as a whole.
"""

from collections.abc import Iterator

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_cost import LINE_FLOATS, predict, share_of
from nexus.backend.kernels.model.cpu_instructions import instruction_set
from nexus.backend.kernels.model.cpu_plan import CpuPlan, Split
from nexus.backend.kernels.model.decision import Decision, Ranked, tally
from nexus.backend.kernels.model.workload import Workload
from nexus.core.errors import InfeasibleError

CHUNK_ROWS = (24, 48, 96, 192, 384)
NARROW_BATCH_MAX = 2
"""Rows up to which 3-byte weights save time: beyond, multiply-adds take longer than loads."""
NARROW_GAIN_MIN = 0.05
"""What 3-byte weights must save to be worth their rounding and a second copy of the stack."""
NARROW_GAIN_LIMIT = f"3-byte weights must save {NARROW_GAIN_MIN:.0%}"


def decide(workload: Workload, constants: CpuConstants) -> Decision[CpuPlan]:
    """All plans that make sense, fastest first.

    Raises:
        InfeasibleError: the CPU kernels keep no weights in such a precision.
    """
    ranked, ruled_out = [], []
    for plan in candidates(workload, constants):
        limit = exceeded(workload, plan, constants)
        if limit:
            ruled_out.append((limit, plan))
        else:
            ranked.append(Ranked(plan, predict(workload, plan, constants)))
    if not ranked:
        raise InfeasibleError(
            f"the CPU kernels keep no weights in {workload.precision.value}: use fp32 or bf16",
            reason="no_configuration",
        )
    # Of equals the simpler: fewer threads leave cores to others.
    ranked.sort(key=lambda one: (one.cost.total_us, one.configuration.threads))
    worthwhile, rounded = _by_gain(ranked, workload.precision)
    ruled_out += [(NARROW_GAIN_LIMIT, one.configuration) for one in rounded]
    return Decision(tuple(worthwhile), tally(ruled_out))


def _by_gain(
    ranked: list[Ranked[CpuPlan]], wanted: Precision
) -> tuple[list[Ranked[CpuPlan]], list[Ranked[CpuPlan]]]:
    """What is worth running, and what not: 3-byte weights, unless they save enough."""
    exact, rounded = (
        [one for one in ranked if (one.configuration.precision is wanted) is same]
        for same in (True, False)
    )
    saved = 1 - ranked[0].cost.total_us / exact[0].cost.total_us
    return (ranked, []) if saved >= NARROW_GAIN_MIN else (exact, rounded)


def candidates(workload: Workload, constants: CpuConstants) -> Iterator[CpuPlan]:
    """The whole space."""
    for precision in _precisions(workload, constants):
        for threads, split in _divisions(workload, constants.threads):
            for chunk_rows in CHUNK_ROWS:
                yield CpuPlan(precision, threads, split, chunk_rows=chunk_rows)


def exceeded(workload: Workload, plan: CpuPlan, constants: CpuConstants) -> str:
    """The limit that a plan is beyond; empty if it is within all."""
    return next(_limits(workload, plan, constants), "")


def _limits(workload: Workload, plan: CpuPlan, constants: CpuConstants) -> Iterator[str]:
    instructions = instruction_set(constants.instructions)
    share = share_of(workload, plan, instructions)
    row_bytes = 4 * workload.shape.cell.gates * share.tiles * instructions.lanes
    if plan.precision is not workload.precision:
        if workload.batch > NARROW_BATCH_MAX:
            yield f"3-byte weights pay up to batch {NARROW_BATCH_MAX}"
        if row_bytes * workload.shape.hidden_size <= 2 * constants.chunk_bytes_max:
            yield "3-byte weights pay where 4 bytes do not stay in L2"
    if plan.threads > 1:
        if plan.split is not Split.ROWS and share.team * LINE_FLOATS > workload.shape.hidden_size:
            yield "more threads than cache lines of hidden units"
        if plan.split is Split.ROWS and plan.threads > workload.batch:
            yield "more threads than rows"
    shorter = max((rows for rows in CHUNK_ROWS if rows < plan.chunk_rows), default=0)
    if shorter:
        if shorter >= share.rows * workload.steps:
            yield "a chunk longer than the whole input"
        if row_bytes * plan.chunk_rows > constants.chunk_bytes_max:
            kib = constants.chunk_bytes_max >> 10
            yield f"projected inputs of a chunk beyond half of L2, {kib} KiB"


def _precisions(workload: Workload, constants: CpuConstants) -> Iterator[Precision]:
    if workload.precision in constants.vectors:
        yield workload.precision
    if workload.precision is Precision.FP32 and Precision.FP24 in constants.vectors:
        yield Precision.FP24


def _divisions(workload: Workload, threads_max: int) -> Iterator[tuple[int, Split]]:
    yield 1, Split.UNITS
    threads = 2
    while threads <= threads_max:
        yield threads, Split.UNITS
        yield threads, Split.ROWS
        if workload.shape.bidirectional:
            yield threads, Split.DIRECTIONS
        if threads == threads_max:
            return
        threads = min(2 * threads, threads_max)
