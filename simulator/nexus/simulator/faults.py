"""What breaks in a simulation, and how it heals.

A killed process closes its connections at once, as by ``kill -9``. One that stands still, or behind
a partition, is only silent: its peers take the connection for broken after ``SILENCE_US``. The
store's own death, or standing still, is an outage: nobody reads or writes meanwhile.
"""

from collections.abc import Callable, Iterator
from itertools import product

from nexus.scheduler.scenario import Fault, FaultKind, NodeKind, NodeReference
from nexus.simulator.connection import Connection, PeerConnection
from nexus.simulator.process import Process
from nexus.simulator.simulated_cluster import SimulatedCluster

SILENCE_US = 2_500_000
"""Ten ping intervals of a frontend's connections (``nexus.rpc.frame_connection``)."""


class Faults:
    """Carries out the faults of a scenario on a cluster."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        """Nothing breaks before ``schedule``."""
        self._cluster = cluster
        self._world = cluster.world
        self._names = {
            NodeKind.BACKEND: list(cluster.backends),
            NodeKind.FRONTEND: [frontend.name for frontend in cluster.frontends],
            NodeKind.SCHEDULER: [scheduler.name for scheduler in cluster.schedulers],
            NodeKind.STORE: [cluster.store.name],
        }

    def schedule(self, fault: Fault, from_us: int) -> None:
        """Let it happen ``fault.at_us`` after ``from_us``."""
        self._world.at(from_us + fault.at_us, self._break, fault)

    def _break(self, fault: Fault) -> None:
        names = list(self._named(fault.nodes))
        if fault.kind is FaultKind.PARTITION:
            self._part(names, fault)
            return
        for name in names:
            process = self._cluster.process(name)
            if process is None:
                continue  # An earlier fault has killed it.
            if fault.kind is FaultKind.STALL or process is self._cluster.store:
                self._stall(process, fault.for_us)
            else:
                self._kill(process, fault.for_us)

    def _named(self, nodes: tuple[NodeReference, ...]) -> Iterator[str]:
        for node in nodes:
            names = self._names[node.kind]
            if node.index is None:
                yield from names
            elif node.index < len(names):
                yield names[node.index]

    # Killing.

    def _kill(self, process: Process, for_us: int | None) -> None:
        cluster, name = self._cluster, process.name
        kill, restart = self._hands(name)
        kill(name)
        if for_us is not None:
            self._world.after(for_us, self._restart, restart, name, process.incarnation + 1)
        assert cluster.process(name) is None, name

    def _restart(self, restart: Callable[[str, int], None], name: str, incarnation: int) -> None:
        restart(name, incarnation)

    def _hands(self, name: str) -> tuple[Callable[[str], None], Callable[[str, int], None]]:
        cluster = self._cluster
        if name in self._names[NodeKind.BACKEND]:
            return cluster.kill_backend, cluster.restart_backend
        if name in self._names[NodeKind.FRONTEND]:
            return cluster.kill_frontend, cluster.restart_frontend
        return cluster.kill_scheduler, cluster.restart_scheduler

    # Standing still.

    def _stall(self, process: Process, for_us: int | None) -> None:
        process.stall()
        if for_us is not None:
            self._world.after(for_us, process.resume)
        if for_us is None or for_us > SILENCE_US:
            self._world.after(SILENCE_US, self._silent, process)

    def _silent(self, process: Process) -> None:
        """Whoever is connected to it gives the connection up."""
        for connection in self._connections_of(process.name):
            connection.end_at_frontend()
            connection.end_at_backend()
        for peer in self._peers_of(process.name):
            for name in peer.ends:
                peer.end_at(name)

    # Partitions.

    def _part(self, names: list[str], fault: Fault) -> None:
        others = list(self._named(fault.apart_from)) if fault.apart_from else self._others(names)
        pairs = [pair for pair in product(names, others) if pair[0] != pair[1]]
        self._cluster.network.cut(pairs)
        if fault.for_us is not None:
            self._world.after(fault.for_us, self._cluster.network.restore, pairs)
        if fault.for_us is None or fault.for_us > SILENCE_US:
            self._world.after(SILENCE_US, self._parted, pairs)

    def _others(self, names: list[str]) -> list[str]:
        everybody = [name for group in self._names.values() for name in group]
        return [name for name in everybody if name not in names]

    def _parted(self, pairs: list[tuple[str, str]]) -> None:
        parted = {frozenset(pair) for pair in pairs}
        for connection in self._connections_of(*{name for pair in pairs for name in pair}):
            if frozenset((connection.frontend.name, connection.backend.name)) in parted:
                connection.end_at_frontend()
                connection.end_at_backend()
        for peer in self._peers_of(*{name for pair in pairs for name in pair}):
            if frozenset(peer.ends) in parted:
                for name in peer.ends:
                    peer.end_at(name)

    def _connections_of(self, *names: str) -> list[Connection]:
        return [
            connection
            for frontend in self._cluster.frontends
            for connection in frontend.connections.values()
            if connection.backend.name in names or frontend.name in names
        ]

    def _peers_of(self, *names: str) -> list[PeerConnection]:
        found = {
            id(peer): peer
            for frontend in self._cluster.frontends
            for peer in frontend.peers.values()
            if not peer.ends.keys().isdisjoint(names)
        }
        return list(found.values())
