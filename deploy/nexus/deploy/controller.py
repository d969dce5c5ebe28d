"""The replica controller: makes the number of backends in Kubernetes what the plan needs.

A shell around `nexus.deploy.replicas`. It is level-triggered: every round looks at the whole of the
present state, so a round that failed, a shrink that had to wait, and a count that someone changed
by hand are all made good by a later one.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import InvalidArgumentError, NexusError
from nexus.core.names import BackendName, DeviceType
from nexus.deploy.replicas import SHRINK_HOLD_US, History, decide_replicas
from nexus.deploy.scale_api import Scale, ScaleApi, ScaleConflictError, connect

CONFLICT_TRIES = 5
"""A set is written this often in one round before the conflict is left to the next."""
ROUND_S = 15.0
"""Between two rounds of ``follow``: a tenth of what a device takes to come up."""

_log = logging.getLogger(__name__)


class ReplicaController:
    """``scale`` is the scheduler's hook; ``follow`` runs beside it. One round at a time."""

    def __init__(
        self,
        api: ScaleApi,
        *,
        in_use: Callable[[], Collection[BackendName]] = frozenset,
        clock: Clock | None = None,
        hold_us: int = SHRINK_HOLD_US,
    ) -> None:
        """Touch nothing yet.

        Args:
            api: the cluster to act on.
            in_use: says which backends the plan places sessions on; they are never removed.
            clock: for the hold time; the machine's by default.
            hold_us: how long fewer devices must be enough before a set shrinks.
        """
        self._api = api
        self._in_use = in_use
        self._clock = clock or MonotonicClock()
        self._hold_us = hold_us
        self._devices: Mapping[DeviceType, int] | None = None
        self._history: History = {}
        self._lock = asyncio.Lock()

    async def scale(self, devices: Mapping[DeviceType, int]) -> None:
        """Take up what the plan needs, by type (a type left out needs none), and act on it.

        Raises:
            InvalidArgumentError: a negative count, or a malformed annotation of a set.
            UnavailableError: the API server is away, or conflicts went on.
            FailedPreconditionError: the Role does not allow it.
            NotFoundError: a set went away meanwhile.
        """
        for device, count in devices.items():
            if count < 0:
                raise InvalidArgumentError(f"{count} devices of type {device!r} cannot be needed")
        self._devices = dict(devices)
        await self.reconcile()

    async def reconcile(self) -> None:
        """One round towards what was asked for last, if anything was; raises as ``scale`` does."""
        async with self._lock:
            if self._devices is not None:
                await asyncio.to_thread(self._round, self._devices, frozenset(self._in_use()))

    async def follow(self, leading: Callable[[], bool], round_s: float = ROUND_S) -> None:
        """Reconcile again and again while this scheduler leads; runs until it is cancelled.

        A scheduler that no longer leads forgets what it asked for: the new leader decides.
        """
        while True:
            await asyncio.sleep(round_s)
            if not leading():
                self._devices, self._history = None, {}
                continue
            try:
                await self.reconcile()
            except NexusError as error:
                _log.warning("replicas stay as they are for now: %s", error)

    def _round(self, devices: Mapping[DeviceType, int], in_use: Collection[BackendName]) -> None:
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


def connect_controller(
    namespace: str, in_use: Callable[[], Collection[BackendName]] = frozenset
) -> ReplicaController:
    """A controller of the backends in ``namespace``; raises as `nexus.deploy.scale_api.connect`."""
    return ReplicaController(connect(namespace), in_use=in_use)
