"""What a backend tells Prometheus."""

from collections.abc import Mapping

from nexus.core.names import ModelName, SessionName
from nexus.core.request import DropReason
from nexus.core.units import s_from_us
from nexus.telemetry import metrics
from nexus.telemetry.metric_set import MetricSet


class BackendMetrics:
    """The backend's metrics, in the backend's words. Times are in microseconds."""

    def __init__(self) -> None:
        """Declare them on a registry of their own: ``registry``."""
        self._metrics = MetricSet(metrics.BACKEND)
        self.registry = self._metrics.registry

    def executed(self, session: SessionName, batch: int, execute_us: int) -> None:
        """A batch of ``batch`` items ran on the device."""
        execute_s = s_from_us(execute_us)
        self._metrics.count(metrics.BATCHES, session)
        self._metrics.observe(metrics.BATCH_SIZE, session, value=batch)
        self._metrics.observe(metrics.EXECUTE, session, value=execute_s)
        self._metrics.count(metrics.DEVICE_BUSY, by=execute_s)

    def waited(self, session: SessionName, queue_us: int) -> None:
        """An item waited so long for its batch to start."""
        self._metrics.observe(metrics.QUEUE_WAIT, session, value=s_from_us(queue_us))

    def queued(self, session: SessionName, items: int) -> None:
        """So many items of a session wait now."""
        self._metrics.set(metrics.QUEUE_LENGTH, session, value=items)

    def dropped(self, session: SessionName, reason: DropReason, items: int = 1) -> None:
        """Items were given up."""
        self._metrics.count(metrics.DROPS, session, reason.value, by=items)

    def planned(self, version: int, duty_cycle_us: int, batches: Mapping[SessionName, int]) -> None:
        """A plan is acted on: each session's batch size, and the duty cycle."""
        self._metrics.set(metrics.BACKEND_PLAN_VERSION, value=version)
        self._metrics.set(metrics.DUTY_CYCLE, value=s_from_us(duty_cycle_us))
        targets = {session: float(batch) for session, batch in batches.items()}
        self._metrics.replace(metrics.BATCH_TARGET, targets)

    def resident(self, memory_bytes: Mapping[ModelName, int]) -> None:
        """The models in memory, all of them."""
        sizes = {model: float(size) for model, size in memory_bytes.items()}
        self._metrics.replace(metrics.MEMORY, sizes)

    def loaded(self, model: ModelName, load_us: int) -> None:
        """A model was made resident."""
        self._metrics.observe(metrics.MODEL_LOAD, model, value=s_from_us(load_us))

    def profile_error(self, model: ModelName, measured_us: int, profiled_us: int) -> None:
        """A batch took ``measured_us`` where the profile says ``profiled_us``."""
        self._metrics.set(metrics.PROFILE_ERROR, model, value=measured_us / profiled_us)

    def preprocessed(self, session: SessionName, preprocess_us: int) -> None:
        """A dispatch was prepared for the device."""
        self._metrics.observe(metrics.PREPROCESS, session, value=s_from_us(preprocess_us))

    def postprocessed(self, session: SessionName, postprocess_us: int) -> None:
        """A dispatch's outputs were turned into results."""
        self._metrics.observe(metrics.POSTPROCESS, session, value=s_from_us(postprocess_us))

    def store_up(self, up: bool) -> None:
        """Whether the last call to the store succeeded."""
        self._metrics.set(metrics.BACKEND_STORE_UP, value=float(up))
