"""The experiments by name, in the order of the page."""

from collections.abc import Mapping
from typing import Protocol

from benchmarks.evaluation.experiments.ablation import ablation
from benchmarks.evaluation.experiments.acceptance import acceptance
from benchmarks.evaluation.experiments.agreement import agreement
from benchmarks.evaluation.experiments.growth import growth
from benchmarks.evaluation.experiments.hard_limit import hard_limit
from benchmarks.evaluation.experiments.load_changes import load_changes
from benchmarks.evaluation.experiments.mixed_apps import mixed_apps
from benchmarks.evaluation.experiments.overload import overload
from benchmarks.evaluation.experiments.paper import paper
from benchmarks.evaluation.experiments.scenario_set import scenario_set
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.section import Section


class Experiment(Protocol):
    """Measures what it needs in the lab and says what came of it."""

    def __call__(self, lab: Lab, /) -> Section:
        """Run it; an exception becomes the section's failure."""
        ...


EXPERIMENTS: Mapping[str, Experiment] = {
    "hard-limit": hard_limit,
    "scenario-set": scenario_set,
    "mixed-apps": mixed_apps,
    "overload": overload,
    "load-changes": load_changes,
    "paper": paper,
    "acceptance": acceptance,
    "ablation": ablation,
    "growth": growth,
    "agreement": agreement,
}
