"""Names of things, and how a session is written.

A session is shown as ``MODEL@SLOms`` (``resnet50@50ms``), a query stage's session as
``QUERY/STAGE`` (``traffic/detect``). A session that a cheaper model serves for a while goes by
``SESSION~VARIANT`` between frontends and backends (``resnet50@50ms~resnet18``).
"""

import re
from typing import TypeAlias

from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_MS

ModelName: TypeAlias = str
SessionName: TypeAlias = str
QueryName: TypeAlias = str
StageName: TypeAlias = str
DeviceType: TypeAlias = str
BackendName: TypeAlias = str
FrontendName: TypeAlias = str
PoolName: TypeAlias = str

NAME_LENGTH_MAX = 128
_VARIANT_MARK = "~"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def require_name(kind: str, name: str) -> None:
    """Raise InvalidArgumentError unless ``name`` is letters, digits, dot, dash, underscore."""
    if len(name) > NAME_LENGTH_MAX or not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"{kind} name {name!r} is not valid: use 1-{NAME_LENGTH_MAX} letters, digits, '.', "
            "'-' or '_', and begin with a letter or digit",
            reason="invalid_name",
        )


def session_name(model: str, slo_us: int) -> SessionName:
    """``resnet50@50ms``; a fraction of a millisecond is kept: ``resnet50@2.5ms``."""
    return f"{model}@{slo_us / US_PER_MS:g}ms"


def stage_session_name(query: str, stage: str) -> SessionName:
    """The session that serves one stage of a query: ``traffic/detect``."""
    return f"{query}/{stage}"


def variant_session_name(session: str, variant: str) -> SessionName:
    """The name under which backends and owners of pools know a session served by a variant."""
    return f"{session}{_VARIANT_MARK}{variant}"


def declared_session(name: str) -> SessionName:
    """The session as declared, whatever serves it: ``resnet50@50ms~resnet18`` without the end."""
    return name.partition(_VARIANT_MARK)[0]


def variant_of(name: str) -> ModelName:
    """The variant that serves a session of this name; empty where its own model does."""
    return name.partition(_VARIANT_MARK)[2]
