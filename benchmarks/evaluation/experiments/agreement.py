"""Does the simulator tell the truth? The same scenario simulated and on emulated devices."""

from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.section import Section


def agreement(lab: Lab) -> Section:
    raise NotImplementedError
