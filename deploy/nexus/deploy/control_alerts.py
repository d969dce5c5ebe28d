"""Alerts on what keeps promises possible: devices, profiles, plans, the store."""

from typing import Any

from nexus.core.units import US_PER_S
from nexus.deploy.alert import Alert, Severity
from nexus.deploy.promql import aggregate, increase, select
from nexus.scheduler.settings import EpochSettings
from nexus.telemetry.metrics import (
    BACKEND_STORE_UP,
    BACKENDS,
    EPOCHS,
    FRONTEND_STORE_UP,
    INFEASIBLE,
    LEADER,
    PLAN_DEVICES,
    PLAN_DEVICES_NEEDED,
    PROFILE_ERROR,
    SCHEDULER_STORE_UP,
    TABLE_AGE,
)

EPOCH_S = EpochSettings().epoch_us // US_PER_S
PROFILE_ERROR_MAX = 1.3
TABLE_AGE_MAX_S = 3 * EPOCH_S

_NOT_SERVING = select(BACKENDS, 'state!="serving"')
_STORE = (FRONTEND_STORE_UP, BACKEND_STORE_UP, SCHEDULER_STORE_UP)


def device_group() -> dict[str, Any]:
    """Alerts on backends and their devices."""
    alerts = (
        Alert(
            name="NexusProfileTooHopeful",
            expression=f"{select(PROFILE_ERROR)} > {PROFILE_ERROR_MAX}",
            hold="10m",
            severity=Severity.TICKET,
            summary="batches of {{ $labels.model }} on {{ $labels.instance }} take "
            "{{ $value | humanize }} times what the profile says",
            action="Profile the model again on this device; look for another process on it, a "
            "throttled CPU, or a device that clocks down.",
            runbook="Profile too hopeful",
        ),
        Alert(
            name="NexusBackendNotServing",
            expression=_of_leader(f"{_NOT_SERVING} > 0"),
            hold="10m",
            severity=Severity.TICKET,
            summary="{{ $value }} backends have been {{ $labels.state }} for ten minutes",
            action="Read the backend's log: a model that does not load, or a drain that does "
            "not end.",
            runbook="Backend not serving",
        ),
        Alert(
            name="NexusTargetDown",
            expression='up{job=~"nexus.*"} == 0',
            hold="2m",
            severity=Severity.TICKET,
            summary="{{ $labels.job }} {{ $labels.instance }} answers no scrape",
            action="The process is gone, or a network policy keeps Prometheus out. Load is "
            "routed around a lost backend within seconds.",
            runbook="Target down",
        ),
        Alert(
            name="NexusTooFewDevices",
            expression=f"{aggregate('max', PLAN_DEVICES_NEEDED, 'device')}"
            f" > {aggregate('max', PLAN_DEVICES, 'device')}",
            hold="5m",
            severity=Severity.TICKET,
            summary="the load needs {{ $value }} {{ $labels.device }} devices, more than there are",
            action="Raise replicas-max of the StatefulSet, or add machines. Until then the "
            "excess is refused at admission.",
            runbook="Too few devices",
        ),
    )
    return {"name": "nexus-devices", "rules": [alert.rule() for alert in alerts]}


def control_group() -> dict[str, Any]:
    """Alerts on the scheduler, its plans, and the store."""
    alerts = (
        Alert(
            name="NexusPlanInfeasible",
            expression=_of_leader(f"{select(INFEASIBLE)} > 0"),
            hold=f"{2 * EPOCH_S}s",
            severity=Severity.TICKET,
            summary="the plan cannot serve {{ $value }} sessions within their SLO",
            action="`nexus get plan` names them and says why: an SLO shorter than one batch, a "
            "missing profile, or a model that fits no device.",
            runbook="Plan infeasible",
        ),
        Alert(
            name="NexusEpochMissing",
            expression=f"{increase(EPOCHS, window=f'{4 * EPOCH_S}s')} == 0"
            f" or absent({select(EPOCHS)})",
            hold="30s",
            severity=Severity.PAGE,
            summary="no plan was made for three epochs",
            action="No scheduler leads, or it cannot reach the store. Serving goes on with the "
            "last plan; changes of load and lost backends are not planned for.",
            runbook="Epoch missing",
        ),
        Alert(
            name="NexusLeaderCount",
            expression=f"{aggregate('sum', LEADER)} != 1",
            hold="1m",
            severity=Severity.PAGE,
            summary="{{ $value }} schedulers lead",
            action="None: see the schedulers' logs and the store. Two: one has lost the store "
            "and not noticed; fencing keeps its plans out.",
            runbook="Leader count",
        ),
        Alert(
            name="NexusRoutingTableOld",
            expression=f"{select(TABLE_AGE)} > {TABLE_AGE_MAX_S}",
            hold="30s",
            severity=Severity.PAGE,
            summary="frontend {{ $labels.instance }} last read its routing table "
            "{{ $value | humanizeDuration }} ago",
            action="The frontend cannot read the store; it goes on routing by the old table.",
            runbook="Routing table old",
        ),
        Alert(
            name="NexusStoreDown",
            expression=" or ".join(f"{select(spec)} == 0" for spec in _STORE),
            hold="1m",
            severity=Severity.PAGE,
            summary="{{ $labels.job }} {{ $labels.instance }} cannot reach the store",
            action="Look at Redis: is it up, is its disk full, does a network policy keep this "
            "process out? Serving goes on with the last plan.",
            runbook="Store down",
        ),
    )
    return {"name": "nexus-control", "rules": [alert.rule() for alert in alerts]}


def _of_leader(expression: str) -> str:
    """Only the leader's series: a standby's last values are history."""
    return f"{expression} and on (instance) {select(LEADER)} == 1"
