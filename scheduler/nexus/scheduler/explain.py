"""A plan in words: what each device does, and why (reasons.py)."""

from collections.abc import Iterable, Iterator

from nexus.core.plan import BackendPlan, Placement
from nexus.core.units import BYTES_PER_MB, ms_from_us
from nexus.scheduler.plan_scenario import ScenarioPlan
from nexus.scheduler.reasons import names_of, why_batch, why_filled, why_pooled


def plan_text(result: ScenarioPlan) -> str:
    """What ``nexus plan`` prints for people."""
    return "\n".join(
        (
            *_summary(result),
            *_splits(result),
            *_pools(result),
            *_devices(result),
            *_reasons(result),
            *_refusals(result),
        )
    )


def _summary(result: ScenarioPlan) -> Iterator[str]:
    plan = result.plan
    for device, needed in plan.devices_needed.items():
        bound = plan.lower_bound.get(device)
        yield f"{needed} x {device}" + (f" (lower bound {bound:.2f})" if bound else "")
    if not plan.devices_needed:
        yield "no devices are needed"
    caution = 1 / result.settings.headroom
    if caution > 1 and any(node.pool is None for node in result.planned.nodes):
        yield f"outside pools rates are planned at {caution:.2f} times the expected"
    yield plan.replanning


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


def _pools(result: ScenarioPlan) -> Iterator[str]:
    """What every pool is for, and what it saves."""
    if result.planned.pools:
        yield ""
    for pool in result.planned.pools:
        fit, device = pool.fit, pool.device.type
        sessions = f"{len(pool.sessions)} sessions" if len(pool.sessions) > 1 else "one session"
        yield (
            f"pool {pool.name}: {sessions} on {fit.size} x {device}, of which {fit.busy:.1f} work; "
            f"{why_pooled(pool, result.settings)}"
        )


def _reasons(result: ScenarioPlan) -> Iterator[str]:
    lines: dict[str, None] = {}
    for pool in result.planned.pools:
        for index, demand in enumerate(pool.fit.demands):
            for name in names_of(demand):
                lines[f"  {name} on {pool.device.type}: {why_filled(pool, index)}"] = None
    for node in result.planned.nodes:
        for index, demand in enumerate(node.demands if node.pool is None else ()):
            for name in names_of(demand):
                lines[f"  {name} on {node.device.type}: {why_batch(node, index)}"] = None
    if lines:
        yield ""
        yield "why:"
        yield from lines


def _refusals(result: ScenarioPlan) -> Iterator[str]:
    plan = result.plan
    if plan.unmet:
        yield ""
        yield "not covered by the devices at hand, and refused by admission:"
        for name, rate in plan.unmet.items():
            reason = plan.unmet_reasons.get(name, "for want of devices")
            yield f"  {name}: {rate:.1f}/s ({reason})"
    if plan.infeasible:
        yield ""
        yield "cannot be served by any number of devices:"
        yield from (
            f"  {entry.session}: {entry.reason}" + (f" ({entry.hint})" if entry.hint else "")
            for entry in plan.infeasible
        )


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
