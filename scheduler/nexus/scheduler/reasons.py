"""Why a plan is as it is: which limit chose the batch of each session, what each pool saves.

The paper's reasoning in one sentence a session, so that a person can argue with it.
"""

from nexus.core.names import SessionName
from nexus.core.units import ms_from_us
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import Node
from nexus.scheduler.pool_size import pool_rules
from nexus.scheduler.pooling import PlannedPool, own_devices
from nexus.scheduler.settings import PlannerSettings


def why_batch(node: Node, index: int) -> str:
    """Which limit chose the batch size of one session of a node."""
    demand, batch = node.demands[index], node.batches[index]
    latency_ms = ms_from_us(demand.profile.latency_us(batch))
    budget_ms, cycle_ms = ms_from_us(demand.budget_us), ms_from_us(node.duty_cycle_us)
    if len(node.demands) == 1 and node.duty_cycle_us == demand.profile.latency_us(batch):
        return f"batch {batch}: fills the device; {_next_batch(demand.batch_limit, batch, node)}"
    gathered = f"{demand.rate:.1f}/s{_of_all(demand)} x {cycle_ms:g} ms"
    text = (
        f"batch {batch}: {gathered} = {demand.rate * node.duty_cycle_us / 1e6:.2f} arrive a cycle"
    )
    return f"{text}; {cycle_ms:g} + {latency_ms:g} <= {budget_ms:g} ms"


def why_filled(pool: PlannedPool, index: int) -> str:
    """Which limit chose the batch that a pool fills of one session."""
    fit, demand = pool.fit, pool.fit.demands[index]
    batch = fit.batches[index]
    latency_ms, budget_ms = (
        ms_from_us(demand.profile.latency_us(batch)),
        ms_from_us(demand.budget_us),
    )
    return (
        f"batch {batch}: {demand.rate:.1f}/s{_of_all(demand)} fill it in "
        f"{batch / demand.rate * 1e3:.3g} ms at most, or it starts as it is; "
        f"{ms_from_us(fit.wait_us):.3g} ms for a free device + {latency_ms:g} < {budget_ms:g} ms"
    )


def why_pooled(pool: PlannedPool, settings: PlannerSettings) -> str:
    """What the sessions of a pool would take without it."""
    tight = [demand.name for demand in pool.fit.demands if not demand.batch]
    if tight:
        return f"2 l(b) is too long for {', '.join(tight)}, staggered batches are not"
    rules = pool_rules(settings)
    assert rules is not None, "there are pools"
    own = own_devices(
        pool.fit.demands, pool.device, settings.headroom, rules, search=settings.search_packings
    )
    return f"apart they would take {own}"


def names_of(demand: Demand) -> list[SessionName]:
    """The sessions of a demand: one, or those that share its batches."""
    return [part.session.name for part in demand.parts] or [demand.name]


def _of_all(demand: Demand) -> str:
    return f" of {len(demand.parts)} sessions" if demand.parts else ""


def _next_batch(limit: int, batch: int, node: Node) -> str:
    demand = node.demands[0]
    budget_ms = ms_from_us(demand.budget_us)
    if batch >= limit:
        return "it is the largest allowed"
    doubled_ms = ms_from_us(2 * demand.profile.latency_us(batch + 1))
    if doubled_ms > budget_ms:
        return f"2 l({batch + 1}) = {doubled_ms:g} ms > {budget_ms:g} ms"
    return f"no larger batch has more throughput than {demand.profile.throughput(batch):.1f}/s"
