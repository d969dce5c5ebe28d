"""Which policy runs a scenario: the planner's own by name, or a published baseline."""

from dataclasses import replace

from nexus.core.errors import InvalidArgumentError
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import POLICIES
from nexus.simulator.baselines import BASELINES, simulate_baseline
from nexus.simulator.report import SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings
from nexus.simulator.simulation import simulate


def policy_names() -> tuple[str, ...]:
    """Every policy that a simulation can run."""
    return (*POLICIES, *BASELINES)


def simulate_policy(
    scenario: Scenario, name: str | None = None, settings: SimulationSettings | None = None
) -> SimulationReport:
    """Run a scenario under the named policy (None: the scenario's own).

    Raises:
        InvalidArgumentError: there is no such policy, or it cannot serve such a scenario.
        LedgerError: an invariant broke.
    """
    name = name or scenario.policy
    if name in POLICIES:
        return simulate(replace(scenario, policy=name), settings)
    if name in BASELINES:
        return simulate_baseline(scenario, name, settings)
    raise InvalidArgumentError(
        f"policy {name!r} is not known; the policies are {', '.join(policy_names())}",
        reason="unknown_policy",
    )
