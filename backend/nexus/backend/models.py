"""The models on the device, and what is declared of them: copied on write, read without locks."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nexus.backend.executor import Executor, LoadedModel
from nexus.core.clock import Clock
from nexus.core.cluster import Catalogue
from nexus.core.errors import FailedPreconditionError
from nexus.core.names import DeviceType, ModelName, SessionName
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile
from nexus.core.units import BYTES_PER_MB
from nexus.telemetry.backend import BackendMetrics

logger = logging.getLogger(__name__)


class ResidentModels:
    """Loads and unloads through the executor, within ``memory_bytes`` (0: no limit)."""

    def __init__(
        self,
        executor: Executor[Any],
        device: DeviceType,
        memory_bytes: int,
        clock: Clock,
        metrics: BackendMetrics,
    ) -> None:
        """Start with none."""
        self._executor = executor
        self._device = device
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._metrics = metrics
        self._catalogue = Catalogue()
        # One at a time: a model that is unloaded and at once loaded again must not overlap itself.
        self._changing = asyncio.Lock()
        self._loaded: dict[ModelName, LoadedModel] = {}
        self._memory: dict[ModelName, int] = {}
        self._model_of: Mapping[SessionName, ModelName] = {}
        self._profiles: Mapping[ModelName, Profile] = {}

    def __getitem__(self, name: ModelName) -> LoadedModel:
        """A resident model."""
        return self._loaded[name]

    def model_of(self, session: SessionName) -> ModelName:
        """The model of a placed session."""
        return self._model_of[session]

    def profile(self, name: ModelName) -> Profile | None:
        """The profile that a placed model, or a group, is served by."""
        return self._profiles.get(name)

    def declared(self, catalogue: Catalogue, plan: BackendPlan | None) -> dict[str, Profile]:
        """Take what is newly declared and planned; return the profiles of what is placed.

        Those of the models, and of the groups that have one. A profile ends at the ``max_batch`` of
        its model or its members, which caps what the device may execute.
        """
        self._catalogue = catalogue
        placements = plan.placements if plan else ()
        # Sessions that left stay known: their last dispatches may still come to be prepared.
        self._model_of = {**self._model_of, **{p.session: p.model for p in placements}}
        profiles: dict[ModelName, Profile] = {}
        caps = {model.name: model.max_batch for model in catalogue.models}
        for placement in placements:
            cap = caps.get(placement.model)
            for name in {placement.model, placement.group or placement.model}:
                profile = profiles.get(name) or catalogue.profile(name, self._device)
                if profile is not None and cap is not None:
                    profiles[name] = replace(profile, latencies_us=profile.latencies_us[:cap])
        self._profiles = profiles
        return profiles

    async def load(self, placement: Placement) -> None:
        """Make a placement's model resident.

        Raises:
            NexusError: it is not declared, does not fit, or cannot be loaded.
        """
        model = self._catalogue.model(placement.model)
        profile = self._catalogue.profile(placement.model, self._device)
        if profile is None:
            raise FailedPreconditionError(
                f"model {model.name!r} has no profile on {self._device!r}", reason="no_profile"
            )
        async with self._changing:
            self._require_memory(model.name, profile)
            started_us = self._clock.now_us()
            loaded = await self._executor.load(model, profile)
        self._memory[model.name] = profile.memory_bytes or loaded.memory_bytes
        self._loaded = {**self._loaded, model.name: loaded}
        took_us = self._clock.now_us() - started_us
        self._metrics.loaded(model.name, took_us)
        self._metrics.resident(self._memory)
        logger.info("model loaded", extra={"model": model.name, "took_us": took_us})

    async def unload(self, name: ModelName) -> None:
        """Give a model's memory back."""
        async with self._changing:
            loaded = self._loaded[name]
            self._loaded = {key: value for key, value in self._loaded.items() if key != name}
            await self._executor.unload(loaded)
            del self._memory[name]
        self._metrics.resident(self._memory)
        logger.info("model unloaded", extra={"model": name})

    def _require_memory(self, name: ModelName, profile: Profile) -> None:
        free_bytes = self._memory_bytes - sum(self._memory.values())
        if self._memory_bytes and profile.memory_bytes > free_bytes:
            raise FailedPreconditionError(
                f"model {name!r} needs {profile.memory_bytes / BYTES_PER_MB:g} MB, and "
                f"{free_bytes / BYTES_PER_MB:g} MB of {self._memory_bytes / BYTES_PER_MB:g} MB "
                "are free",
                reason="no_memory",
            )
