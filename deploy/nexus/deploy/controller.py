"""The replica controller: makes the number of backends in Kubernetes what the plan needs.

A shell around `nexus.deploy.replicas`. It is level-triggered: every call looks at the whole of the
present state, so a call that failed is made good by the next.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping

from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import InvalidArgumentError
from nexus.core.names import BackendName, DeviceType
from nexus.deploy.replicas import SHRINK_HOLD_US, History, decide_replicas
from nexus.deploy.scale_api import Scale, ScaleApi, ScaleConflictError, connect

CONFLICT_TRIES = 5
"""A set is written this often before the conflict is left to the caller and the next epoch."""

_log = logging.getLogger(__name__)


class ReplicaController:
    """``await controller.scale({"v100": 3})``; calls must not overlap, the lock sees to it."""

    def __init__(
        self, api: ScaleApi, *, clock: Clock | None = None, hold_us: int = SHRINK_HOLD_US
    ) -> None:
        """``hold_us``: how long fewer devices must be enough before a set shrinks."""
        self._api = api
        self._clock = clock or MonotonicClock()
        self._hold_us = hold_us
        self._history: History = {}
        self._lock = asyncio.Lock()

    async def scale(
        self, devices: Mapping[DeviceType, int], in_use: Collection[BackendName] = ()
    ) -> None:
        """Set replica counts so that the plan gets its devices.

        Args:
            devices: devices needed, by type; a type left out needs none.
            in_use: backends that the plan places sessions on; they are never removed.

        Raises:
            InvalidArgumentError: a negative count, or a malformed annotation of a set.
            UnavailableError: the API server is away, or conflicts went on; try again later.
            FailedPreconditionError: the Role does not allow it.
            NotFoundError: a set went away meanwhile.
        """
        for device, count in devices.items():
            if count < 0:
                raise InvalidArgumentError(f"{count} devices of type {device!r} cannot be needed")
        async with self._lock:
            await asyncio.to_thread(self._scale, dict(devices), frozenset(in_use))

    def _scale(self, devices: Mapping[DeviceType, int], in_use: Collection[BackendName]) -> None:
        sets = self._api.backend_sets()
        decision = decide_replicas(
            sets,
            devices,
            now_us=self._clock.now_us(),
            history=self._history,
            in_use=in_use,
            hold_us=self._hold_us,
        )
        self._history = decision.history
        for device, missing in decision.unmet.items():
            _log.warning("%d more %s devices are needed than may be started", missing, device)
        for one in sets:
            if decision.replicas[one.name] != one.replicas:
                self._set_replicas(one.name, decision.replicas[one.name])

    def _set_replicas(self, name: str, replicas: int) -> None:
        for attempt in range(1, CONFLICT_TRIES + 1):
            found = self._api.scale(name)
            if found.replicas == replicas:
                return
            try:
                self._api.set_scale(name, Scale(replicas, found.resource_version))
            except ScaleConflictError:
                if attempt == CONFLICT_TRIES:
                    raise
            else:
                _log.info("StatefulSet %s: %d -> %d replicas", name, found.replicas, replicas)
                return


def connect_controller(namespace: str, *, clock: Clock | None = None) -> ReplicaController:
    """A controller of the backends in ``namespace``; raises as `nexus.deploy.scale_api.connect`."""
    return ReplicaController(connect(namespace), clock=clock)
