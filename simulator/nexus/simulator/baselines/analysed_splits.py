"""The split of queries' SLOs that Nexus' query analysis makes (paper section 6.2)."""

from nexus.core.names import QueryName, StageName
from nexus.scheduler.plan_scenario import workload_of
from nexus.scheduler.planner import make_plan
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import NEXUS
from nexus.scheduler.split import even_split


def analysed_splits(scenario: Scenario) -> dict[QueryName, dict[StageName, int]]:
    """The paper's split of every query; the even one where the paper's rule finds none."""
    if not scenario.queries:
        return {}
    planned = make_plan(workload_of(scenario), scenario.planner_settings(NEXUS)).splits
    return {
        entry.query.name: dict(planned.get(entry.query.name) or even_split(entry.query))
        for entry in scenario.queries
    }
