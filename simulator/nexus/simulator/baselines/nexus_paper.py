"""Nexus as published (SOSP'19), complete, and with one of its parts left out.

Source: the paper and its public code, as digested in nexus.md sections 1 and 2.

Rules: queries' SLOs are split by dynamic programming over saturated throughputs (6.2); sessions are
packed by ScheduleSaturate and ScheduleResidue, 2 l(B) <= SLO, no headroom (6.1); prefix groups with
equal SLOs are planned and batched as one session (6.3); frontends dispatch by deficit round-robin
over planned rates; devices take their sessions in turn with the planned batch at most and the
sliding-window early drop (6.3); pre- and post-processing overlap execution. Nothing is refused at
the door. As in its public code, though not in the paper, what a stage of a query leaves of its
budget is added to the next stages'.

The ablations, as in the paper's section 7.3: *prefix*: every variant is a session of its own;
*squishy*: the batch-oblivious allotment instead of the packing; *early-drop*: lazy drop; *overlap*:
the device waits while one core pre- and post-processes the batch, one item after another;
*query-analysis*: the even split.

Simplified: no epochs (the plan is for the declared rates), no network in the early drop beyond the
deadline, ideal frontends.
"""

from dataclasses import dataclass, replace

from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import NEXUS
from nexus.simulator.baselines.allotment import even_splits, oblivious_slots
from nexus.simulator.baselines.analysed_splits import analysed_splits
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.drop_rules import early, lazy
from nexus.simulator.baselines.duty_cycle_devices import DutyCycleDevices
from nexus.simulator.baselines.overlap import without_overlap
from nexus.simulator.baselines.planned_slots import paper_plan
from nexus.simulator.baselines.prefix_groups import grouped
from nexus.simulator.baselines.situation import Splits, uniform_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusParts:
    """Which parts of Nexus are in use."""

    prefix: bool = True
    squishy: bool = True
    early_drop: bool = True
    overlap: bool = True
    query_analysis: bool = True

    def arrange(self, scenario: Scenario, settings: ArrangeSettings) -> Arrangement:
        """Plan the scenario with these parts."""
        if not self.overlap:
            scenario = without_overlap(scenario)
        splits = analysed_splits(scenario) if self.query_analysis else even_splits(scenario)
        return self.arrange_split(scenario, splits, settings)

    def arrange_split(
        self, scenario: Scenario, splits: Splits, settings: ArrangeSettings
    ) -> Arrangement:
        """Plan the scenario with queries' SLOs divided as told."""
        parts = grouped(scenario, splits, joining=self.prefix)
        if self.squishy:
            plan = paper_plan(parts.scenario, NEXUS, all_devices=settings.all_devices)
            situation = replace(parts.situation, devices=plan.devices)
            slots = plan.slots(situation)
        else:
            situation = replace(parts.situation, devices=uniform_devices(scenario))
            slots = oblivious_slots(situation, leave_out=parts.joined)
        drop = early if self.early_drop else lazy
        return Arrangement(
            situation=situation,
            policy=lambda: DutyCycleDevices(situation, slots, drop, parts.joined),
            slack=True,
        )
