"""``Client``: requests and queries to a cluster from blocking code."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from nexus.client import operations
from nexus.client.connection import settings_for
from nexus.client.frame_stream import FrameStream
from nexus.client.frame_window import FrameWindow, Keep
from nexus.client.inputs import Frame, Inputs
from nexus.client.results import InferResult, ModelInfo, ModelMetadata, QueryResult
from nexus.client.retry import RetryPolicy
from nexus.client.transport import Transport
from nexus.rpc.limits import MESSAGE_BYTES_MAX


class Client:
    """A connection to one or more frontends; threads may share it. ``AsyncClient`` is its twin.

    Every call has a deadline, which the servers see and act on, and raises the errors of
    ``nexus.core.errors``: RefusedError (with ``details`` ``expected_wait_ms`` and
    ``retry_after_ms``), DeadlineError, NotFoundError, InvalidArgumentError, UnavailableError, ...
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        connections: int = 1,
        retry: RetryPolicy | None = None,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        """Open no connection yet.

        Args:
            addresses: one frontend, HOST:PORT, or several, used in turn.
            connections: TCP connections to each.
            retry: how calls that were certainly not accepted are repeated.
            message_bytes_max: the largest request or answer.

        Raises:
            InvalidArgumentError: an address is malformed, or a number out of range.
        """
        settings = settings_for(addresses, connections, message_bytes_max)
        self._transport = Transport(settings, retry or RetryPolicy())

    def infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: str = "",
        slo_ms: float | None = None,
        session: str | None = None,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> InferResult:
        """One inference request.

        Args:
            model: the model's name.
            inputs: tensors by name (arrays, lists, bytes), or a sequence of Tensor.
            version: empty lets the server choose.
            slo_ms: picks the session of this model with this SLO.
            session: picks the session by name.
            outputs: which outputs to return; none named returns all.
            timeout_s: the deadline; the session's SLO ends the call sooner.
        """
        operation = operations.infer(
            model, inputs, version=version, slo_ms=slo_ms, session=session, outputs=outputs
        )
        return self._transport.run(operation, timeout_s)

    def query(
        self,
        name: str,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        frame_id: int = 0,
        stream_id: str = "",
    ) -> QueryResult:
        """One frame (bytes of an image file, a path, a PIL image) through a declared query."""
        operation = operations.query(name, frame, frame_id=frame_id, stream_id=stream_id)
        return self._transport.run(operation, timeout_s)

    def stream(
        self,
        name: str,
        frames: Iterable[Frame],
        *,
        keep: Keep = "newest",
        in_flight: int = 4,
        timeout_s: float | None = None,
        stream_id: str = "",
    ) -> FrameStream:
        """Frames through a query; iterate for results in frame order.

        Args:
            name: the query.
            frames: read in a thread of its own, as fast as it gives frames.
            keep: what to do with a frame while ``in_flight`` are unanswered: ``newest`` lets a
                newer frame replace it (for cameras), ``all`` makes the source wait (for files).
            in_flight: frames unanswered at once.
            timeout_s: the deadline of each frame.
            stream_id: names the camera to the servers.
        """

        def ask(number: int, frame: Frame) -> QueryResult:
            return self.query(
                name, frame, timeout_s=timeout_s, frame_id=number, stream_id=stream_id
            )

        return FrameStream(name, frames, FrameWindow(keep=keep, in_flight=in_flight), ask)

    def models(self, *, timeout_s: float | None = None) -> tuple[ModelInfo, ...]:
        """The models that the cluster knows."""
        return self._transport.run(operations.models(), timeout_s)

    def metadata(self, model: str, *, timeout_s: float | None = None) -> ModelMetadata:
        """What a model takes and gives."""
        return self._transport.run(operations.metadata(model), timeout_s)

    def ready(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Whether the server, or a model on it, is ready for requests."""
        return self._transport.run(operations.ready(model), timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
