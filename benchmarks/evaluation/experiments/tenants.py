"""One model that several tenants call under SLOs of their own."""

from benchmarks.evaluation.cases import Linear, scenario
from nexus.scheduler.scenario import Scenario

SLOS_MS = (50, 75, 100, 150, 200)
DEVICES = 6


def tenants() -> Scenario:
    """Five sessions of one model, at equal rates that fill the devices at their hard limits."""
    models = [Linear(f"resnet50/{slo_ms}", 0.75, 7.96, slo_ms) for slo_ms in SLOS_MS]
    rates = {model.name: DEVICES * model.limit / len(models) for model in models}
    return scenario("five-tenants", models, rates, DEVICES, frontends=2)
