"""A seat: the place of one server in a local cluster, whichever process sits in it now."""

import signal
from pathlib import Path

from nexus.cli.child import Child
from nexus.cli.cluster_file import Member
from nexus.cli.ready_line import ReadyLine
from nexus.cli.restart_policy import Deaths, after_death
from nexus.cli.server_commands import CommandFor
from nexus.core.clock import Clock


class Seat:
    """Starts, watches and stops one server. Nothing here blocks; ``tick`` is called often."""

    def __init__(
        self, command_for: CommandFor, log_folder: Path, clock: Clock, device: str
    ) -> None:
        """Start nothing yet. ``device`` is shown to people only."""
        command = command_for(None)
        self.name, self.component, self.device = command.name, command.component, device
        self.child: Child | None = None
        self.ready: ReadyLine | None = None
        self.deaths = Deaths()
        self._command_for = command_for
        self._log_path = log_folder / f"{command.name}.log"
        self._clock = clock
        self._previous: ReadyLine | None = None
        self._started_us = 0

    def start(self) -> None:
        """Seat a new process, on the ports of the last one if that one did not die young."""
        previous = self._previous if self.deaths.in_a_row <= 1 else None
        self.child = Child(self._command_for(previous), self._log_path)
        self.ready = None
        self._started_us = self._clock.now_us()

    def tick(self, *, restart: bool) -> str:
        """Move on; the answer is what happened, in words for people, or empty."""
        if self.child is None:
            return self._restart() if restart else ""
        if (status := self.child.poll()) is not None:
            return self._bury(status)
        if self.ready is None and (ready := self.child.ready()) is not None:
            self.ready = self._previous = ready
            return f"{self.name} serves"
        self.child.rotate_log()
        return ""

    def _restart(self) -> str:
        if self._clock.now_us() < self.deaths.restart_at_us:
            return ""
        try:
            self.start()
        except OSError as error:
            self.deaths = after_death(self.deaths, 0, self._clock.now_us())
            return f"{self.name} could not be started: {error}"
        return ""

    def _bury(self, status: int) -> str:
        now_us = self._clock.now_us()
        self.child = self.ready = None
        self.deaths = after_death(self.deaths, now_us - self._started_us, now_us)
        return f"{self.name} died (status {status}); its log is {self._log_path}"

    def signal(self, number: signal.Signals) -> None:
        """Signal its process, if there is one."""
        if self.child is not None:
            self.child.send(number)

    @property
    def ended(self) -> bool:
        """Whether no process runs here."""
        return self.child is None or self.child.poll() is not None

    @property
    def member(self) -> Member:
        """Where it serves (or served, while it is being started again)."""
        ready = self.ready or self._previous or ReadyLine(component=self.component, name=self.name)
        return Member(
            name=self.name,
            component=self.component,
            pid=self.child.pid if self.child else 0,
            grpc=ready.grpc,
            data=ready.data,
            metrics=ready.metrics,
            device=self.device,
        )
