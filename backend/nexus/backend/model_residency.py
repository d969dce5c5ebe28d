"""Which models are resident, being loaded, or would not load; and which sessions use them.

Sessions of one model share it: it is loaded for the first and unloaded after the last. A load that
failed is tried again, ever more rarely, for as long as the plan wants it: the file may appear yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from nexus.backend.events import BackendEffect, Load, Unload
from nexus.core.names import ModelName, SessionName
from nexus.core.plan import Placement

LOAD_RETRY_FIRST_US = 1_000_000
LOAD_RETRY_MAX_US = 30_000_000


class Residency(Enum):
    """Life of a model on this device."""

    LOADING = "loading"
    RESIDENT = "resident"
    FAILED = "failed"


@dataclass(slots=True)
class HostedModel:
    """A model that some session uses, or that is still being loaded for one that left.

    ``loading_for`` is the session that the outstanding Load named, ``chunk_us`` that of ``Loaded``.
    """

    name: ModelName
    residency: Residency = Residency.LOADING
    users: dict[SessionName, Placement] = field(default_factory=dict)
    loading_for: SessionName = ""
    failures: int = 0
    message: str = ""
    retry_at_us: int = 0
    chunk_us: int = 0

    @property
    def resident(self) -> bool:
        """Whether it can execute."""
        return self.residency is Residency.RESIDENT


class ModelResidency:
    """The models of one device. Each method returns the effects it asks for."""

    def __init__(self) -> None:
        """Start with none."""
        self._models: dict[ModelName, HostedModel] = {}

    def __getitem__(self, name: ModelName) -> HostedModel:
        """The model of that name; some session must use it."""
        return self._models[name]

    def use(self, placement: Placement) -> Iterator[BackendEffect]:
        """A session needs its model."""
        model = self._models.get(placement.model)
        if model is None:
            model = HostedModel(placement.model)
            self._models[placement.model] = model
            yield self._load(model, placement)
        model.users[placement.session] = placement

    def release(self, session: SessionName, name: ModelName) -> Iterator[BackendEffect]:
        """A session no longer needs its model. One that is being loaded is unloaded afterwards."""
        model = self._models[name]
        model.users.pop(session, None)
        if not model.users and model.residency is not Residency.LOADING:
            yield from self._forget(model, session)

    def loaded(self, session: SessionName, chunk_us: int = 0) -> Iterator[BackendEffect]:
        """The Load for ``session`` has succeeded; see ``events.Loaded``."""
        model = self._loading(session)
        model.chunk_us = chunk_us
        model.residency = Residency.RESIDENT
        model.failures = 0
        if not model.users:
            yield from self._forget(model, session)

    def failed(self, session: SessionName, message: str, now_us: int) -> None:
        """The Load for ``session`` has failed."""
        model = self._loading(session)
        model.residency = Residency.FAILED
        model.message = message
        wait_us = min(LOAD_RETRY_FIRST_US << min(model.failures, 10), LOAD_RETRY_MAX_US)
        model.retry_at_us = now_us + wait_us
        model.failures += 1
        if not model.users:
            del self._models[model.name]

    def retry(self, now_us: int) -> Iterator[BackendEffect]:
        """Load again what failed long enough ago."""
        for model in self._models.values():
            if model.residency is Residency.FAILED and model.retry_at_us <= now_us:
                yield self._load(model, next(iter(model.users.values())))

    def next_retry_us(self) -> int | None:
        """When ``retry`` has something to do; None while nothing has failed."""
        times = [m.retry_at_us for m in self._models.values() if m.residency is Residency.FAILED]
        return min(times, default=None)

    def _load(self, model: HostedModel, placement: Placement) -> Load:
        model.residency = Residency.LOADING
        model.loading_for = placement.session
        return Load(placement)

    def _loading(self, session: SessionName) -> HostedModel:
        for model in self._models.values():
            if model.residency is Residency.LOADING and model.loading_for == session:
                return model
        raise AssertionError(f"no load was asked for session {session!r}")

    def _forget(self, model: HostedModel, session: SessionName) -> Iterator[BackendEffect]:
        del self._models[model.name]
        if model.resident:
            yield Unload(session, model.name)
