"""Prefix groups: models that share their first layers, batched as one (paper section 6.3).

The scenario says which models share a prefix; the group's profile is worked out as for the planner
(nexus.scheduler.prefix_groups). Only sessions with equal SLOs join a group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile
from nexus.core.session import Session
from nexus.core.units import US_PER_MS
from nexus.scheduler.scenario import Scenario, ScenarioModel, ScenarioSession
from nexus.simulator.baselines.item import Line
from nexus.simulator.baselines.situation import Served, Situation, Splits, served_of, situation_of

MEMBERS_MIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """A scenario as independent sessions, ready to be packed.

    ``situation`` has a line for every session and stage, then one for every group; ``joined`` maps
    a member's line to its group's. ``scenario`` has a session for every line that is on its own.
    """

    situation: Situation
    joined: Mapping[Line, Line]
    scenario: Scenario


def grouped(scenario: Scenario, splits: Splits, *, joining: bool) -> Grouped:
    """Take queries apart into sessions under ``splits``; ``joining``: merge groups' members."""
    if joining:
        scenario = replace(scenario, models=(*scenario.models, *_group_models(scenario)))
    alone = situation_of(scenario, splits, ())
    group_of = {m.name: m.prefix.group for m in scenario.models if joining and m.prefix}
    members: dict[tuple[ModelName, int], list[Line]] = {}
    for line, served in enumerate(alone.served):
        if served.model in group_of:
            members.setdefault((group_of[served.model], served.slo_us), []).append(line)
    served_lines = list(alone.served)
    joined: dict[Line, Line] = {}
    for (model, slo_us), lines in members.items():
        if len(lines) < MEMBERS_MIN:
            continue
        joined |= dict.fromkeys(lines, len(served_lines))
        rate = sum(alone.served[line].rate for line in lines)
        name = f"{model}@{slo_us / US_PER_MS:g}ms"
        served_lines.append(served_of(scenario, name, model, slo_us, rate))
    situation = replace(alone, served=tuple(served_lines))
    sessions = tuple(
        _as_session(served) for line, served in enumerate(situation.served) if line not in joined
    )
    names = {entry.session.name for entry in sessions}
    if len(names) < len(sessions):
        raise InvalidArgumentError(
            f"scenario {scenario.name!r}: a session has the name of a prefix group",
            reason="invalid_scenario",
        )
    flat = replace(scenario, sessions=sessions, queries=())
    return Grouped(situation=situation, joined=joined, scenario=flat)


def _group_models(scenario: Scenario) -> Iterator[ScenarioModel]:
    """The prefix groups that are not declared as models themselves, as such."""
    profiles: dict[ModelName, dict[DeviceType, Profile]] = {}
    for profile in scenario.prefix_profiles():
        profiles.setdefault(profile.model, {})[profile.device] = profile
    for group, by_device in profiles.items():
        largest = min(m.max_batch for m in scenario.models if m.prefix and m.prefix.group == group)
        yield ScenarioModel(name=group, profiles=by_device, max_batch=largest)


def _as_session(served: Served) -> ScenarioSession:
    session = Session(
        model=served.model, slo_us=served.slo_us, expected_rate=served.rate, name=served.name
    )
    return ScenarioSession(session=session, rate=served.rate)
