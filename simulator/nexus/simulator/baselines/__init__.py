"""Published serving systems as policies in virtual time, to be compared with (issue B, part 2)."""

from nexus.simulator.baselines.registry import BASELINES, simulate_baseline

__all__ = ["BASELINES", "simulate_baseline"]
