"""The HTTP endpoint that Prometheus scrapes, on a thread of its own."""

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from nexus.core.errors import UnavailableError

STOP_TIMEOUT_S = 5.0


class MetricsServer:
    """A running endpoint; ``port`` is the one it is bound to."""

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        """Made by ``serve_metrics``."""
        self.port = int(server.server_port)
        self._server = server
        self._thread = thread

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_TIMEOUT_S)


def serve_metrics(registry: CollectorRegistry, host: str, port: int = 0) -> MetricsServer:
    """Serve ``registry`` at ``http://HOST:PORT/metrics``; port 0 takes a free one.

    Raises:
        UnavailableError: The address cannot be bound.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UnavailableError(
            f"cannot serve metrics on {host}:{port}: {error}; choose another --metrics-listen",
            reason="address_unavailable",
        ) from error
    return MetricsServer(server, thread)
