"""The baselines by name."""

from collections.abc import Mapping

from nexus.core.errors import InvalidArgumentError
from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines import (
    central_eager,
    clipper,
    clockwork,
    shepherd,
    symphony,
    tf_serving,
)
from nexus.simulator.baselines.arrangement import Arrange, ArrangeSettings
from nexus.simulator.baselines.baseline_run import run_arrangement
from nexus.simulator.baselines.nexus_paper import NexusParts
from nexus.simulator.report import SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings

ARRANGE: Mapping[str, Arrange] = {
    "nexus-paper": NexusParts().arrange,
    "nexus-paper-without-squishy": NexusParts(squishy=False).arrange,
    "nexus-paper-without-early-drop": NexusParts(early_drop=False).arrange,
    "nexus-paper-without-overlap": NexusParts(overlap=False).arrange,
    "nexus-paper-without-query-analysis": NexusParts(query_analysis=False).arrange,
    "batch-oblivious": NexusParts(prefix=False, squishy=False, query_analysis=False).arrange,
    "clipper": clipper.arrange,
    "tf-serving": tf_serving.arrange,
    "clockwork": clockwork.arrange,
    "symphony": symphony.arrange,
    "shepherd": shepherd.arrange,
    "central-eager": central_eager.arrange,
}
BASELINES: tuple[str, ...] = tuple(ARRANGE)


def simulate_baseline(
    scenario: Scenario,
    name: str,
    settings: SimulationSettings | None = None,
    *,
    all_devices: bool = True,
    partial_answers: bool = False,
) -> SimulationReport:
    """Simulate ``scenario`` under the named baseline.

    ``all_devices``: a planning baseline uses the whole of a fixed cluster, as a search for the
    highest rate must let it; False: what its plan for the given rates needs. ``partial_answers``:
    a query goes on when an item below its roots is lost, as in this cluster; the paper's fail.

    Raises:
        InvalidArgumentError: there is no such baseline, or it cannot serve such a scenario.
        LedgerError: an invariant broke.
    """
    if name not in ARRANGE:
        raise InvalidArgumentError(
            f"baseline {name!r} is not known; the baselines are {', '.join(BASELINES)}",
            reason="unknown_policy",
        )
    arrangement = ARRANGE[name](scenario, ArrangeSettings(all_devices=all_devices))
    return run_arrangement(arrangement, scenario, name, settings, partial_answers=partial_answers)
