"""Published serving systems as policies in virtual time, to be compared with (issue B, part 2)."""

from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.nexus_paper import NexusParts
from nexus.simulator.baselines.registry import BASELINES, arrange_baseline, simulate_baseline

__all__ = [
    "BASELINES",
    "ArrangeSettings",
    "Arrangement",
    "NexusParts",
    "arrange_baseline",
    "simulate_baseline",
]
