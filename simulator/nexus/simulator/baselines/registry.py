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
from nexus.simulator.baselines.arrangement import Arrange, Arrangement, ArrangeSettings
from nexus.simulator.baselines.baseline_run import run_arrangement
from nexus.simulator.baselines.nexus_paper import NexusParts
from nexus.simulator.report import SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings

ARRANGE: Mapping[str, Arrange] = {
    "nexus-paper": NexusParts().arrange,
    "nexus-paper-without-prefix": NexusParts(prefix=False).arrange,
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


def arrange_baseline(
    scenario: Scenario, name: str, settings: ArrangeSettings | None = None
) -> Arrangement:
    """Set the named baseline up for a scenario; it may run it, and the same at other rates.

    Raises:
        InvalidArgumentError: there is no such baseline, or it cannot serve such a scenario.
    """
    if name not in ARRANGE:
        raise InvalidArgumentError(
            f"baseline {name!r} is not known; the baselines are {', '.join(BASELINES)}",
            reason="unknown_policy",
        )
    if scenario.faults:
        raise InvalidArgumentError(
            f"scenario {scenario.name!r} has faults: baselines know none, run it under a policy of "
            "the cluster's own",
            reason="invalid_scenario",
        )
    return ARRANGE[name](scenario, settings or ArrangeSettings())


def simulate_baseline(
    scenario: Scenario,
    name: str,
    settings: SimulationSettings | None = None,
    *,
    arrange: ArrangeSettings | None = None,
    partial_answers: bool = False,
) -> SimulationReport:
    """Simulate ``scenario`` under the named baseline, by default on the whole of a fixed cluster.

    ``partial_answers``: a query goes on when an item below its roots is lost, as it does in this
    cluster; the paper's, and with it the baselines', fails.

    Raises:
        InvalidArgumentError: there is no such baseline, or it cannot serve such a scenario.
        LedgerError: an invariant broke.
    """
    arrangement = arrange_baseline(scenario, name, arrange)
    return run_arrangement(arrangement, scenario, name, settings, partial_answers=partial_answers)
