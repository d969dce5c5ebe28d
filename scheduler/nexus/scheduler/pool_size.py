"""How many devices a pool needs, and the batch that it fills of each session (ADR 0020, 0023).

The batches of a pool's N devices are staggered: one of them is free every l / N. A request is in
time when the batch that it opens is gathered, waits for the next device and is executed:

    (b - 1) / rate  +  wait  +  l(b)  <=  budget,    wait = l / N for one session

where l is the mean latency of the pool's batches, by work. With one session that is about
(1 + 2 / N) l(b) instead of the 2 l(b) of devices that know nothing of each other. The batches of
several sessions come at random and collide: with as many sessions as devices they wait up to l,
and must be started that much before their last moment (``slack_us``).

A pool smooths out chance, too: what must be kept free is ``margin`` times the variation of the work
that arrives within an SLO, which falls with the root of the number of items; a device alone must
keep free the headroom of the settings.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from nexus.core.units import US_PER_S
from nexus.scheduler.batch_table import BatchTable
from nexus.scheduler.demand import Demand
from nexus.scheduler.settings import (
    DEFAULT_HEADROOM,
    POOL_DEVICES_MIN,
    PlannerSettings,
    PoolSettings,
)

EFFICIENCY_MIN = 0.5
"""However few and uneven the items, half of a pool's time is of use."""
EVEN_HEADROOM = 0.95
"""Nothing is kept free for chance where items come evenly, but a late batch must be caught up."""
LATE_SHARE = 0.005
"""Half of what may be late is left to other causes than waiting for a device."""
TARGET_GATHER = 0.5
"""Batches are filled up to what arrivals of twice the rate would gather in time, or chance does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFit:
    """``demands`` on ``size`` devices: ``batches[i]`` is the batch to fill of ``demands[i]``.

    ``busy`` is how many devices they keep busy on average, ``needed`` how many that takes with
    what must be kept free; ``needed`` <= ``size`` when the pool covers all rates. A batch may wait
    ``wait_us`` for a device; it starts ``slack_us`` before its last moment.
    """

    demands: tuple[Demand, ...]
    batches: tuple[int, ...]
    size: int
    busy: float
    needed: float
    wait_us: int
    slack_us: int = 0

    @property
    def load(self) -> float:
        """The share of what the pool can do that is asked of it."""
        return self.needed / self.size


@dataclass(frozen=True, slots=True)
class PoolRules:
    """The settings as sizing needs them.

    ``caution`` scales the margin: 1 at the default headroom, 0 at a headroom of 1.
    """

    settings: PoolSettings
    ask_us: int = 0
    caution: float = 1.0


def pool_rules(settings: PlannerSettings) -> PoolRules | None:
    """The rules of these settings; None: they plan no pools."""
    if settings.pools is None:
        return None
    caution = (1 - settings.headroom) / (1 - DEFAULT_HEADROOM)
    return PoolRules(settings.pools, settings.ask_us, caution)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """The mean batch of a session, which need not be whole, and its latency."""

    batch: float
    latency_us: float
    rate: float

    @property
    def work_us(self) -> float:
        """Device time of one item."""
        return self.latency_us / self.batch


@dataclass(frozen=True, slots=True)
class _Waits:
    """``usual_us`` is the wait that batches are started ahead of.

    ``least_us`` is 0 where hardly ever all devices are busy: that is enough for a session so tight
    that its batches are started at once.
    """

    usual_us: float
    least_us: float


def can_pool(demand: Demand, rules: PoolRules) -> bool:
    """Whether a session can be in a pool: ``load_of`` without the load.

    Not if its SLO has no room for it, or it asks for replicas that a pool does not promise.
    """
    session, table = demand.session, demand.table
    if session.replicas_max or session.replicas_min > POOL_DEVICES_MIN:
        return False
    gathering_us = (table.useful[0] - 1) * US_PER_S / demand.rate
    return gathering_us + table.latencies_us[0] <= demand.budget_us - rules.ask_us


def load_of(demand: Demand, rules: PoolRules) -> float | None:
    """The devices a session keeps busy in a pool without end; None: it cannot be in one."""
    if not can_pool(demand, rules):
        return None
    gathered = _gathered(demand, 1.0, 0.0, rules)
    return gathered.rate * gathered.work_us / US_PER_S if gathered is not None else None


def own_headroom(demand: Demand, usual: float, rules: PoolRules | None) -> float:
    """The share of devices of its own that a session's rate may use.

    Nearly all where items come evenly (ADR 0030), else at most the ``usual`` share. What fits one
    device with room to spare has time left in its cycle for chance (slack.py). Devices that a
    session fills have none: where there are pools, as much is kept free as in one, by the items of
    an SLO.
    """
    if demand.is_even:
        return max(usual, EVEN_HEADROOM)
    if rules is None:
        return usual
    items = demand.throughput * demand.budget_us / US_PER_S
    share = 1 - rules.caution * rules.settings.margin / math.sqrt(items)
    share = min(usual, max(EFFICIENCY_MIN, share))
    return usual if demand.rate < share * demand.throughput else share


def smallest_fit(
    demands: Sequence[Demand], rules: PoolRules, size_max: int, size_min: int = POOL_DEVICES_MIN
) -> PoolFit | None:
    """The demands on as few devices as serve them; None when ``size_max`` do not.

    More devices need less of each (larger batches, less chance), so the search may bisect; it
    begins at ``size_min``, and fewer than that must not do.
    """
    low, high, best = size_min, size_max, None
    size = low
    while low <= high:
        fit = fit_on(demands, size, rules)
        if fit is not None and fit.needed <= size:
            best, high = fit, size - 1
        else:
            low = size + 1
        if best is not None:
            size = (low + high) // 2
        else:
            guess = math.ceil(fit.needed) if fit is not None else 2 * size
            size = min(max(guess, low), high)
    return best


def fit_on(demands: Sequence[Demand], size: int, rules: PoolRules) -> PoolFit | None:
    """The demands on exactly ``size`` devices; None when some SLO cannot be met on them."""
    waits = _waits(demands, size, rules)
    if waits is None:
        return None
    wait_us = waits.usual_us if len(demands) > 1 else waits.least_us
    gathered = [
        _gathered(demand, 1.0, wait_us, rules) or _gathered(demand, 1.0, waits.least_us, rules)
        for demand in demands
    ]
    if None in gathered or _blocks(demands, gathered, size, rules):
        return None
    busy = sum(g.rate * g.work_us for g in gathered if g) / US_PER_S
    return PoolFit(
        wait_us=round(wait_us),
        slack_us=round(waits.usual_us) if len(demands) > 1 else 0,
        demands=tuple(demands),
        batches=tuple(_target(demand, wait_us, rules) for demand in demands),
        size=size,
        busy=busy,
        needed=busy / _efficiency(demands, gathered, rules),
    )


def _blocks(
    demands: Sequence[Demand], gathered: Sequence[_Gathered | None], size: int, rules: PoolRules
) -> bool:
    """Whether the others' batches make too many items of some session late.

    An item can be saved by a batch of its own as long as some device comes free within what its SLO
    leaves. The chance that a device does not is the share of its time in which a batch of another
    session has longer to go than that.
    """
    batches = [(g.rate / g.batch / US_PER_S, g.latency_us) for g in gathered if g is not None]
    longest_us = max(latency_us for _, latency_us in batches)
    for index, demand in enumerate(demands):
        left_us = demand.budget_us - rules.ask_us - demand.profile.latency_us(1)
        if left_us >= longest_us:
            continue
        busy = sum(
            per_us * max(0.0, latency_us - left_us)
            for other, (per_us, latency_us) in enumerate(batches)
            if other != index
        )
        if min(1.0, busy / size) ** size > LATE_SHARE:
            return True
    return False


def _efficiency(
    demands: Sequence[Demand], gathered: Sequence[_Gathered | None], rules: PoolRules
) -> float:
    """The share of the pool's time that may be planned: 1 - margin * variation of the work.

    Poisson items of work w in a window t: mean rate * t * w, variance rate * t * w^2. Even items
    vary by nothing, but where several sessions' batches meet they do so at random all the same.
    """
    if len(demands) == 1 and demands[0].is_even:
        return 1 - rules.caution * (1 - EVEN_HEADROOM)
    mean = variance = weighted_us = 0.0
    for demand, entry in zip(demands, gathered, strict=True):
        assert entry is not None
        work = entry.rate * entry.work_us
        mean += work
        variance += work * entry.work_us
        weighted_us += work * demand.budget_us
    window_s = weighted_us / mean / US_PER_S
    variation = math.sqrt(variance / window_s) / mean
    return max(EFFICIENCY_MIN, 1 - rules.caution * rules.settings.margin * variation)


def _waits(demands: Sequence[Demand], size: int, rules: PoolRules) -> _Waits | None:
    """How long a batch may wait for the others; None when an SLO has no room for one item.

    What counts is how many sessions there are by their work: a trickle beside a flood collides
    with nobody but the flood.
    """
    part = _wait_part(len(demands), size, rules.settings)
    work = squared = weighted = 0.0
    for demand in demands:
        entry = _gathered(demand, 1 + part, 0.0, rules) or _gathered(demand, 1.0, 0.0, rules)
        if entry is None:
            return None
        share = entry.rate * entry.work_us
        work += share
        squared += share * share
        weighted += share * entry.latency_us
    usual = _wait_part(work * work / squared, size, rules.settings)
    usual_us = usual * weighted / work
    hardly = _erlang_c(work / US_PER_S, size) <= LATE_SHARE
    return _Waits(usual_us, 0.0 if hardly else usual_us)


def _wait_part(sessions: float, size: int, settings: PoolSettings) -> float:
    """The wait in batch latencies: l / N for one session, l where many share few devices."""
    return max(settings.blocking / size, min(1.0, settings.collision * (sessions - 1) / size))


def _erlang_c(busy: float, size: int) -> float:
    """The chance that all devices are busy when a batch comes at random."""
    if busy >= size:
        return 1.0
    blocked = 1.0
    for count in range(1, size + 1):
        blocked = busy * blocked / (count + busy * blocked)
    return blocked / (1 - busy / size * (1 - blocked))


def _gathered(demand: Demand, factor: float, wait_us: float, rules: PoolRules) -> _Gathered | None:
    """The mean batch with (b - 1) / rate + factor * l(b) + wait <= budget; None: not even one."""
    table, rate = demand.table, demand.rate
    left_us = demand.budget_us - rules.ask_us - wait_us
    gap_us = US_PER_S / rate
    count = _gathered_in_time(table, left_us, gap_us, factor)
    if not count:
        return None
    last = count - 1
    best = table.best[last]
    batch, latency_us = table.useful[best], table.latencies_us[best]
    if best < last or count == len(table.useful):
        return _Gathered(batch, latency_us, rate)
    more, longer_us = table.useful[count] - batch, table.latencies_us[count] - latency_us
    spare_us = left_us - (batch - 1) * gap_us - factor * latency_us
    part = min(spare_us / (more * gap_us + factor * longer_us), 1.0)
    return _Gathered(batch + part * more, latency_us + part * longer_us, rate)


def _target(demand: Demand, wait_us: float, rules: PoolRules) -> int:
    """The batch to fill. Backends defer, so a larger one costs nothing while arrivals lag."""
    table = demand.table
    left_us = demand.budget_us - rules.ask_us - wait_us
    gap_us = US_PER_S / demand.rate
    count = bisect_right(
        range(len(table.useful)),
        left_us,
        key=lambda i: _likely_gaps(table.useful[i]) * gap_us + table.latencies_us[i],
    )
    return table.useful[table.best[max(count, 1) - 1]]


def _likely_gaps(batch: int) -> float:
    """The mean gaps in which ``batch`` items may well come: twice as fast, or by chance.

    m items are expected in m gaps, and m + 2 sqrt(m) now and then.
    """
    return min(TARGET_GATHER * (batch - 1), (math.sqrt(batch - 1) - 1) ** 2 if batch > 1 else 0.0)


def _gathered_in_time(table: BatchTable, left_us: float, gap_us: float, factor: float) -> int:
    """How many of the useful batch sizes have (b - 1) * gap + factor * l(b) <= left."""
    useful, latencies_us = table.useful, table.latencies_us
    low, high = 0, len(useful)
    while low < high:
        middle = (low + high) // 2
        if (useful[middle] - 1) * gap_us + factor * latencies_us[middle] <= left_us:
            low = middle + 1
        else:
            high = middle
    return low
