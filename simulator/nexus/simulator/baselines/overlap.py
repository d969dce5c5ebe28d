"""Serving without overlap: the device waits while a batch is pre- and post-processed.

One item after another on one core, as part of the batch's latency. Nexus overlaps both with the
execution of other batches (paper section 6.3).
"""

from dataclasses import replace

from nexus.core.profile import Profile
from nexus.scheduler.scenario import Scenario, ScenarioModel


def without_overlap(scenario: Scenario) -> Scenario:
    """The scenario with every item's pre- and post-processing as part of its batch's latency."""
    return replace(scenario, models=tuple(_serial_model(model) for model in scenario.models))


def _serial_model(model: ScenarioModel) -> ScenarioModel:
    profiles = {device: _serial(profile) for device, profile in model.profiles.items()}
    return replace(model, profiles=profiles)


def _serial(profile: Profile) -> Profile:
    overhead_us = profile.preprocess_us + profile.postprocess_us
    return replace(
        profile,
        latencies_us=tuple(
            latency_us + batch * overhead_us
            for batch, latency_us in enumerate(profile.latencies_us, start=1)
        ),
        preprocess_us=0,
        postprocess_us=0,
    )
