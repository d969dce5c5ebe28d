"""A plan in words: what each device does, and for each session which limit chose its batch size.

The paper's reasoning in one sentence a session, so that a person can argue with it.
"""

from collections.abc import Iterable, Iterator

from nexus.core.plan import BackendPlan, Placement
from nexus.core.units import BYTES_PER_MB, ms_from_us
from nexus.scheduler.packing import Node
from nexus.scheduler.plan_scenario import ScenarioPlan


def plan_text(result: ScenarioPlan) -> str:
    """What ``nexus plan`` prints for people."""
    return "\n".join(
        (
            *_summary(result),
            *_splits(result),
            *_devices(result),
            *_reasons(result),
            *_refusals(result),
        )
    )


def why_batch(node: Node, index: int) -> str:
    """Which limit chose the batch size of one session of a node."""
    demand, batch = node.demands[index], node.batches[index]
    latency_ms = ms_from_us(demand.profile.latency_us(batch))
    budget_ms, cycle_ms = ms_from_us(demand.budget_us), ms_from_us(node.duty_cycle_us)
    if len(node.demands) == 1 and node.duty_cycle_us == demand.profile.latency_us(batch):
        return f"batch {batch}: fills the device; {_next_batch(demand.batch_limit, batch, node)}"
    gathered = f"{demand.rate:.1f}/s x {cycle_ms:g} ms"
    text = (
        f"batch {batch}: {gathered} = {demand.rate * node.duty_cycle_us / 1e6:.2f} arrive a cycle"
    )
    return f"{text}; {cycle_ms:g} + {latency_ms:g} <= {budget_ms:g} ms"


def _next_batch(limit: int, batch: int, node: Node) -> str:
    demand = node.demands[0]
    budget_ms = ms_from_us(demand.budget_us)
    if batch >= limit:
        return "it is the largest allowed"
    doubled_ms = ms_from_us(2 * demand.profile.latency_us(batch + 1))
    if doubled_ms > budget_ms:
        return f"2 l({batch + 1}) = {doubled_ms:g} ms > {budget_ms:g} ms"
    return f"no larger batch has more throughput than {demand.profile.throughput(batch):.1f}/s"


def _summary(result: ScenarioPlan) -> Iterator[str]:
    plan = result.plan
    for device, needed in plan.devices_needed.items():
        bound = plan.lower_bound.get(device)
        yield f"{needed} x {device}" + (f" (lower bound {bound:.2f})" if bound else "")
    if not plan.devices_needed:
        yield "no devices are needed"
    if result.settings.headroom < 1:
        yield f"rates are planned at {1 / result.settings.headroom:.2f} times the expected"


def _splits(result: ScenarioPlan) -> Iterator[str]:
    for query, budgets in result.plan.splits.items():
        parts = ", ".join(f"{stage} {ms_from_us(us):g} ms" for stage, us in budgets.items())
        yield f"query {query}: {parts}"


def _devices(result: ScenarioPlan) -> Iterator[str]:
    for count, backend in _counted(result.plan.backends):
        times = f"{count} x " if count > 1 else ""
        yield ""
        yield (
            f"{times}{backend.device}: duty cycle {ms_from_us(backend.duty_cycle_us):g} ms, "
            f"occupancy {backend.occupancy:.0%}, {backend.memory_bytes / BYTES_PER_MB:g} MB"
        )
        width = max(len(placement.session) for placement in backend.placements)
        yield from (_row(placement, width) for placement in backend.placements)


def _row(placement: Placement, width: int) -> str:
    return (
        f"  {placement.session:<{width}}  batch {placement.batch:>3}  "
        f"{placement.rate:>8.1f}/s  l(b) {ms_from_us(placement.latency_us):g} ms"
    )


def _reasons(result: ScenarioPlan) -> Iterator[str]:
    lines: dict[str, None] = {}
    for node in result.planned.nodes:
        for index, demand in enumerate(node.demands):
            lines[f"  {demand.name} on {node.device.type}: {why_batch(node, index)}"] = None
    if lines:
        yield ""
        yield "why:"
        yield from lines


def _refusals(result: ScenarioPlan) -> Iterator[str]:
    plan = result.plan
    if plan.unmet:
        yield ""
        yield "not covered by the devices at hand, and refused by admission:"
        yield from (f"  {name}: {rate:.1f}/s" for name, rate in plan.unmet.items())
    if plan.infeasible:
        yield ""
        yield "cannot be served by any number of devices:"
        yield from (f"  {entry.session}: {entry.reason}" for entry in plan.infeasible)


def _counted(backends: Iterable[BackendPlan]) -> Iterator[tuple[int, BackendPlan]]:
    """Equal neighbours once, with their number."""
    previous: BackendPlan | None = None
    count = 0
    for backend in backends:
        if backend == previous:
            count += 1
            continue
        if previous is not None:
            yield count, previous
        previous, count = backend, 1
    if previous is not None:
        yield count, previous
