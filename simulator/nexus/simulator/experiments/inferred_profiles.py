"""Profiles inferred from the paper's own figures, where it publishes rates and no profile.

Each is the line l(b) = l(1) + alpha (b - 1) with the published l(1). Alpha is the least-squares
slope through (b, l(b)) at the published rates of the paper's system, its own rule telling l(b):

- Inception: n copies on one device (Figure 14a). Each waits for a cycle of n batches and then runs:
  (n + 1) l(b) = SLO, and all copies together do b / l(b).
- SSD: SSD -> Inception x 0.1 under the even split (Figure 17). Each stage has half of the SLO and
  spends half of that on a batch: 2 l(b) = SLO / 2; the devices are full. Inception's share of them,
  a tenth of an item per frame, follows from its own line.

Batches count as continuous: a rate tells the average one. What query analysis gains (the other half
of Figure 17) is not looked at, so an experiment on these lines still tests it.
"""

from collections.abc import Iterable, Mapping

from nexus.core.units import US_PER_MS, US_PER_S
from nexus.simulator.experiments.published import BATCH_MAX

AlphaBeta = tuple[float, float]
"""(alpha, beta) in ms of l(b) = alpha b + beta."""
Point = tuple[float, float]
"""A batch size and its latency in ms."""

DIGITS = 3
MS_PER_S = US_PER_S // US_PER_MS
STAGES = 2
WAIT_FACTOR = 2
"""2 l(b) <= budget: a batch waits for the one before it."""


def inferred_line(batch_1_ms: float, points: Iterable[Point]) -> AlphaBeta:
    """The least-squares line of all that pass through l(1) = ``batch_1_ms``."""
    offsets = [(batch - 1, latency_ms - batch_1_ms) for batch, latency_ms in points]
    alpha_ms = sum(x * y for x, y in offsets) / sum(x * x for x, _ in offsets)
    return round(alpha_ms, DIGITS), round(batch_1_ms - alpha_ms, DIGITS)


def copies_points(rates: Mapping[int, float], slo_ms: float) -> list[Point]:
    """What one device's ``rates`` (items/s by number of equal copies) say of l(b)."""
    latencies_ms = {copies: slo_ms / (copies + 1) for copies in rates}
    return [
        (rates[copies] * latency_ms / MS_PER_S, latency_ms)
        for copies, latency_ms in latencies_ms.items()
    ]


def even_split_points(
    rates: Mapping[float, float], devices: int, fan_out: float, second: AlphaBeta
) -> list[Point]:
    """What the ``rates`` (frames/s by SLO in ms) of two evenly split stages say of the first.

    ``second`` is the line of the second stage, which is called ``fan_out`` times a frame.
    """
    points = []
    for slo_ms, rate in rates.items():
        latency_ms = slo_ms / STAGES / WAIT_FACTOR
        item_ms = devices * MS_PER_S / rate - fan_out * _item_ms(second, latency_ms)
        points.append((latency_ms / item_ms, latency_ms))
    return points


def _item_ms(line: AlphaBeta, latency_ms: float) -> float:
    """Device time per item in the largest batch that ends within ``latency_ms``."""
    alpha_ms, beta_ms = line
    batch = min(BATCH_MAX, (latency_ms - beta_ms) / alpha_ms)
    return alpha_ms + beta_ms / batch
