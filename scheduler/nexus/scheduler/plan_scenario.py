"""``nexus plan``: a scenario and a policy to a plan, offline."""

from dataclasses import dataclass
from functools import partial

from nexus.core.document import to_data
from nexus.core.names import declared_session
from nexus.core.plan import Plan
from nexus.core.session import SessionLoad
from nexus.core.units import BYTES_PER_MB, ms_from_us
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.degradation import plan_with_ladder
from nexus.scheduler.planner import Planned, QueryLoad, Workload, make_plan
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import PlannerSettings, policy

_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioPlan:
    """The plan, and the reasoning behind it that ``explain`` puts into words."""

    plan: Plan
    planned: Planned
    settings: PlannerSettings


def plan_scenario(scenario: Scenario, policy_name: str | None = None) -> ScenarioPlan:
    """Plan a scenario by the named policy (None: its own); raise InvalidArgumentError if unknown.

    The lower bounds are in ``.plan.lower_bound``, sessions beyond help in ``.plan.infeasible``.
    """
    settings = scenario.planner_settings(policy(policy_name or scenario.policy))
    make = partial(make_plan, settings=settings)
    workload = workload_of(scenario)
    planned = plan_with_ladder(workload, {}, make) if settings.degrade else make(workload)
    plan = Plan(
        backends=tuple(as_backend_plan(node) for node in planned.nodes),
        infeasible=planned.infeasible,
        splits=planned.splits,
        devices_needed=planned.devices_needed,
        lower_bound=planned.lower_bound,
        unmet=planned.unmet,
        replanning=planned.replanning,
        unmet_reasons=planned.unmet_reasons,
    )
    return ScenarioPlan(plan=plan, planned=planned, settings=settings)


def workload_of(scenario: Scenario) -> Workload:
    """The scenario as the planner sees it: expected rates, declared fan-outs."""
    profiles = {
        (profile.model, profile.device): profile
        for profile in (*scenario.prefix_profiles(), *scenario.model_profiles())
    }
    present = {device.type for device in scenario.devices}
    return Workload(
        devices=scenario.devices,
        prefix_groups={
            model.name: model.prefix.group for model in scenario.models if model.prefix is not None
        },
        absent_types=tuple(sorted({device for _, device in profiles} - present)),
        profile=lambda model, device: profiles.get((model, device)),
        sessions=tuple(SessionLoad(entry.declared, entry.rate) for entry in scenario.sessions),
        queries=tuple(
            QueryLoad(query=entry.declared, rate=entry.rate) for entry in scenario.queries
        ),
        batch_caps={model.name: model.max_batch for model in scenario.models},
    )


def plan_json(result: ScenarioPlan) -> dict[str, object]:
    """What ``nexus plan --json`` prints: milliseconds, megabytes, requests per second."""
    plan = result.plan
    return {
        "devices": dict(plan.devices_needed),
        "lower_bound": {name: round(bound, 2) for name, bound in plan.lower_bound.items()},
        "infeasible": to_data(plan.infeasible),
        "unmet": {name: round(rate, _DIGITS) for name, rate in plan.unmet.items()},
        "unmet_reasons": dict(plan.unmet_reasons),
        "replanning": plan.replanning,
        "splits": {
            query: {stage: ms_from_us(budget_us) for stage, budget_us in budgets.items()}
            for query, budgets in plan.splits.items()
        },
        "backends": [
            {
                "device": backend.device,
                "duty_cycle_ms": ms_from_us(backend.duty_cycle_us),
                "occupancy": round(backend.occupancy, _DIGITS),
                "memory_mb": backend.memory_bytes / BYTES_PER_MB,
                "sessions": [
                    {
                        "session": declared_session(placement.session),
                        "model": placement.model,
                        "batch": placement.batch,
                        "rate": round(placement.rate, _DIGITS),
                        "latency_ms": ms_from_us(placement.latency_us),
                        "pool": placement.pool,
                    }
                    for placement in backend.placements
                ],
            }
            for backend in plan.backends
        ],
    }
