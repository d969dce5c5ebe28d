"""``cluster.json``: where the servers of a local cluster listen; written by ``nexus up``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nexus.core.document import from_json, to_json
from nexus.core.errors import NotFoundError

FILE_NAME = "cluster.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server. Addresses are ``host:port``, empty where it has no such port."""

    name: str
    component: str
    pid: int
    grpc: str = ""
    data: str = ""
    metrics: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFile:
    """A running local cluster. ``store`` is a URL; ``pid`` the process that keeps it."""

    cluster: str
    pid: int
    store: str
    members: tuple[Member, ...] = ()

    def of(self, component: str) -> tuple[Member, ...]:
        """The members of one component, in name order as started."""
        return tuple(member for member in self.members if member.component == component)

    def member(self, name: str) -> Member:
        """The member of that name; raise NotFoundError naming those there are."""
        for member in self.members:
            if member.name == name:
                return member
        known = ", ".join(member.name for member in self.members)
        raise NotFoundError(f"no server named {name!r} in this cluster; there are {known}")

    @property
    def frontends(self) -> tuple[str, ...]:
        """The gRPC addresses of the frontends: what clients connect to."""
        return tuple(member.grpc for member in self.of("frontend"))

    @property
    def control(self) -> str:
        """The gRPC address of the control service, which the scheduler serves."""
        return self.of("scheduler")[0].grpc

    @property
    def metrics_urls(self) -> tuple[str, ...]:
        """Every Prometheus endpoint."""
        return tuple(f"http://{m.metrics}/metrics" for m in self.members if m.metrics)


def write_cluster_file(directory: Path, content: ClusterFile) -> None:
    """Write DIR/cluster.json whole or not at all: a reader never sees half a file."""
    draft = directory / f".{FILE_NAME}.{os.getpid()}"
    draft.write_bytes(to_json(content) + b"\n")
    draft.replace(directory / FILE_NAME)


def read_cluster_file(directory: Path) -> ClusterFile:
    """Read DIR/cluster.json; raise NotFoundError when no cluster has written it."""
    path = directory / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"no cluster is running here ({path} does not exist): start one with `nexus up`, or "
            "name one with --cluster-dir, --address or NEXUS_ADDRESS",
            reason="no_cluster",
        ) from error
    return from_json(ClusterFile, content, str(path))


def remove_cluster_file(directory: Path) -> None:
    """Forget a cluster that has stopped."""
    (directory / FILE_NAME).unlink(missing_ok=True)


def default_directory(environment: Mapping[str, str]) -> Path:
    """Where ``nexus up`` keeps its cluster unless told otherwise (XDG base directories)."""
    state = environment.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "nexus" / "local"
