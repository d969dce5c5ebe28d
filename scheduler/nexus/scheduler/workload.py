"""What the planner is asked to serve, and with what: the input of every plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nexus.core.device import DeviceSpec
from nexus.core.names import DeviceType, ModelName, StageName
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.session import SessionLoad

ProfileOf: TypeAlias = Callable[[ModelName, DeviceType], Profile | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLoad:
    """A query, its frames per second, and the fan-outs measured so far."""

    query: Query
    rate: float
    fan_outs: Mapping[StageName, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What must be served, and with what. ``batch_caps`` are the models' own limits.

    ``profile`` may be corrected by measurements; where that makes an SLO impossible, ``offline``,
    the profile as declared, has the last word: noise must not close a session. ``prefix_groups``
    names the group of each model that has one; its profile is found under that name.
    ``absent_types`` are device types that profiles are known of, though there is no such device.
    """

    devices: tuple[DeviceSpec, ...]
    profile: ProfileOf
    offline: ProfileOf | None = None
    sessions: tuple[SessionLoad, ...] = ()
    queries: tuple[QueryLoad, ...] = ()
    batch_caps: Mapping[ModelName, int] = field(default_factory=dict)
    prefix_groups: Mapping[ModelName, ModelName] = field(default_factory=dict)
    absent_types: tuple[DeviceType, ...] = ()
