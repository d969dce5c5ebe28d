"""A generated scenario as the file that `nexus plan` and `nexus simulate` read."""

from collections.abc import Mapping
from typing import Any

import yaml

from nexus.core.names import StageName
from nexus.core.profile import Profile
from nexus.core.query import Per, Stage
from nexus.core.units import BYTES_PER_MB, ms_from_us, s_from_us
from nexus.scheduler.scenario import Arrivals, FanOut, Scenario, ScenarioModel, ScenarioQuery


def scenario_yaml(scenario: Scenario, comment: str) -> str:
    """The file's text, beginning with ``comment``.

    Models that nothing asks for are left out; faults and the policy are not written.
    """
    asked = {entry.session.model for entry in scenario.sessions}
    asked |= {stage.model for entry in scenario.queries for stage in entry.query.stages}
    data: dict[str, Any] = {
        "name": scenario.name,
        "seed": scenario.seed,
        "duration_s": s_from_us(scenario.duration_us),
        "devices": [
            _without_none(
                {
                    "type": device.type,
                    "count": device.count,
                    "memory_mb": device.memory_bytes / BYTES_PER_MB or None,
                }
            )
            for device in scenario.devices
        ],
        "models": [_model(model) for model in scenario.models if model.name in asked],
    }
    if scenario.network.delay_us:
        data["network"] = {"delay_ms": ms_from_us(scenario.network.delay_us)}
    if scenario.sessions:
        data["sessions"] = [
            {
                "model": entry.session.model,
                "slo_ms": ms_from_us(entry.session.slo_us),
                "rate": entry.rate,
                "arrivals": _arrivals(entry.arrivals),
            }
            for entry in scenario.sessions
        ]
    if scenario.queries:
        data["queries"] = [_query(entry) for entry in scenario.queries]
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)


def _model(model: ScenarioModel) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": model.name,
        "profiles": {name: _profile(profile) for name, profile in model.profiles.items()},
    }
    if model.prefix is not None:
        data["prefix"] = {
            "group": model.prefix.group,
            "suffix_ms": ms_from_us(model.prefix.suffix_us),
            "suffix_memory_mb": model.prefix.suffix_bytes / BYTES_PER_MB,
        }
    return data


def _profile(profile: Profile) -> dict[str, Any]:
    """As a line where it is one, else batch by batch."""
    rows = profile.latencies_us
    alpha_us = rows[1] - rows[0] if len(rows) > 1 else 0
    line = tuple(rows[0] + alpha_us * index for index in range(len(rows)))
    latencies: dict[str, Any]
    if line == rows:
        latencies = {
            "alpha_ms": ms_from_us(alpha_us),
            "beta_ms": ms_from_us(rows[0] - alpha_us),
            "max_batch": len(rows),
        }
    else:
        latencies = {"latency_ms": [ms_from_us(row) for row in rows]}
    return latencies | _without_none(
        {
            "memory_mb": profile.memory_bytes / BYTES_PER_MB or None,
            "preprocess_ms": ms_from_us(profile.preprocess_us) or None,
            "postprocess_ms": ms_from_us(profile.postprocess_us) or None,
        }
    )


def _query(entry: ScenarioQuery) -> dict[str, Any]:
    return {
        "name": entry.query.name,
        "slo_ms": ms_from_us(entry.query.slo_us),
        "rate": entry.rate,
        "arrivals": _arrivals(entry.arrivals),
        "stages": [_stage(stage, entry.fan_outs) for stage in entry.query.stages],
    }


def _stage(stage: Stage, fan_outs: Mapping[StageName, FanOut]) -> dict[str, Any]:
    data: dict[str, Any] = {"name": stage.name, "model": stage.model}
    if stage.after:
        data["after"] = list(stage.after)
        data["per"] = stage.per.value if stage.per else Per.FINDING.value
        data["fan_out"] = stage.fan_out
        data["fan_out_max"] = stage.fan_out_max
    if stage.name in fan_outs:
        data |= _fan_out(fan_outs[stage.name])
    return data


def _fan_out(fan_out: FanOut) -> dict[str, Any]:
    if fan_out.kind == "listed":
        return {"fan_out_values": list(fan_out.values)}
    return {"fan_out_kind": fan_out.kind}


def _arrivals(arrivals: Arrivals) -> dict[str, Any]:
    return {"kind": arrivals.kind, **arrivals.parameters}


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
