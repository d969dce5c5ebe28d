"""The command lines of a local cluster's servers: what to pass to whom. No process is started here.

Every port is 0 at first (the kernel picks). A server that is started again asks for the ports it
had, because clients remember the addresses of frontends and of the control service.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nexus.cli.child import ChildCommand, server_arguments
from nexus.cli.devices import BackendDevice
from nexus.cli.ready_line import ReadyLine

ANY_PORT = "127.0.0.1:0"

CommandFor = Callable[[ReadyLine | None], ChildCommand]
"""From where a server listened before (None: it never did) to its command line."""


def embedded_store(data_folder: Path) -> CommandFor:
    """The store that comes along; a new process takes up the old one's data and port."""

    def command(previous: ReadyLine | None) -> ChildCommand:
        listen = previous.data if previous else ANY_PORT
        flags = ("--listen", listen, "--data-dir", str(data_folder))
        return ChildCommand(
            name="store", component="store", arguments=server_arguments("store", *flags)
        )

    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommands:
    """What all servers of one cluster share."""

    store: str
    cluster: str

    def scheduler(self, flags: tuple[str, ...]) -> CommandFor:
        """The scheduler, which also serves the control service."""
        return lambda previous: self._command("scheduler", "scheduler", previous, *flags)

    def frontend(self, index: int, flags: tuple[str, ...]) -> CommandFor:
        """One frontend."""
        name = f"frontend-{index}"
        return lambda previous: self._command(name, "frontend", previous, *flags)

    def backend(self, device: BackendDevice, threads: int, flags: tuple[str, ...]) -> CommandFor:
        """One backend; ``threads`` 0 leaves the number of compute threads to its libraries."""
        own = ("--data-listen", ANY_PORT, "--device", device.device, "--threads", str(threads))
        return lambda _: self._command(device.name, "backend", None, *own, *flags)

    def _command(
        self, name: str, component: str, previous: ReadyLine | None, *flags: str
    ) -> ChildCommand:
        listen = previous.grpc if previous else ANY_PORT
        metrics = previous.metrics if previous and previous.metrics else ANY_PORT
        shared = ("--store", self.store, "--cluster", self.cluster, "--name", name)
        ports = ("--listen", listen, "--metrics-listen", metrics, "--advertise", "127.0.0.1")
        return ChildCommand(
            name=name,
            component=component,
            arguments=server_arguments(component, *shared, *ports, *flags),
        )
