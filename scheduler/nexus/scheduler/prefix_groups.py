"""Prefix groups: models that share their first layers, batched as one (paper section 6.3).

A batch of the group runs the shared layers once and then each member's own. Groups that were
measured have a profile under the group's name; for those that are only described it is worked out
here: the members' own l(b), which is that of a batch of one member, and a suffix for every further
member that a batch may have in it. Weights of the shared layers lie in memory once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile

PREFIX_PARAMETER = "prefix_group"
"""The parameter of a model that names its prefix group."""


@dataclass(frozen=True, slots=True)
class PrefixMember:
    """How a model is part of a group: what its own layers take, of a batch and of memory."""

    group: ModelName
    suffix_us: int = 0
    suffix_bytes: int = 0


Described = tuple[PrefixMember, Profile]


def group_profiles(members: Iterable[Described]) -> dict[tuple[ModelName, DeviceType], Profile]:
    """The profile of every group on every device type that any of its members has."""
    groups: dict[tuple[ModelName, DeviceType], list[Described]] = {}
    for member, profile in members:
        groups.setdefault((member.group, profile.device), []).append((member, profile))
    return {key: _group_profile(key[0], described) for key, described in groups.items()}


def _group_profile(name: ModelName, described: Sequence[Described]) -> Profile:
    count = len(described)
    suffix_us = max(member.suffix_us for member, _ in described)
    profiles = [profile for _, profile in described]
    largest = min(profile.max_batch for profile in profiles)
    suffixes = [member.suffix_bytes for member, _ in described]
    return Profile(
        model=name,
        device=profiles[0].device,
        latencies_us=tuple(
            max(profile.latency_us(batch) for profile in profiles)
            + suffix_us * (min(batch, count) - 1)
            for batch in range(1, largest + 1)
        ),
        memory_bytes=max(profile.memory_bytes for profile in profiles)
        + sum(suffixes)
        - max(suffixes),
        preprocess_us=max(profile.preprocess_us for profile in profiles),
        postprocess_us=max(profile.postprocess_us for profile in profiles),
        load_us=max(profile.load_us for profile in profiles),
    )
