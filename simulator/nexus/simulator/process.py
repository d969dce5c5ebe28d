"""What all simulated processes share: a name, a life, and being stalled."""

from nexus.simulator.world import Arguments, Handler, World


class Process:
    """A process that runs, stands still, or is dead.

    Whatever comes in while it stands still waits, as in a socket's buffer, and is handled in order
    when it goes on. Subclasses ask ``running`` first and hand what they may not handle to ``wait``.
    ``incarnation`` tells a restarted process from its former self.
    """

    def __init__(self, world: World, name: str, incarnation: int) -> None:
        """Alive and running."""
        self.world = world
        self.name = name
        self.incarnation = incarnation
        self.running = True
        self.alive = True
        self._waiting: list[tuple[Handler, Arguments]] = []

    def wait(self, handler: Handler, *arguments: object) -> None:
        """Handle this when the process goes on; a dead one never does."""
        if self.alive:
            self._waiting.append((handler, arguments))

    def kill(self) -> None:
        """Die as by kill -9."""
        self.alive = self.running = False
        self._waiting.clear()

    def stall(self) -> None:
        """Stand still."""
        self.running = False

    def resume(self) -> None:
        """Go on, with what came in meanwhile first."""
        if not self.alive:
            return
        self.running = True
        waiting, self._waiting = self._waiting, []
        for position, (handler, arguments) in enumerate(waiting):
            if not self.running:
                self._waiting = [*waiting[position:], *self._waiting]
                return
            handler(*arguments)
