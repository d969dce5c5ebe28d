"""Which cluster a command talks to: flags first, then the environment, then ``nexus up``'s."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nexus.cli.cluster_file import default_directory, read_cluster_file

FRONTEND_VARIABLE = "NEXUS_ADDRESS"
CONTROL_VARIABLE = "NEXUS_CONTROL"
DIRECTORY_VARIABLE = "NEXUS_CLUSTER_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChoice:
    """What the user said; empty where nothing was said."""

    address: str = ""
    control: str = ""
    directory: Path | None = None

    def frontends(self, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """The frontends' addresses; raise NotFoundError when no cluster is found."""
        said = _first_said(self.address, self.directory, environment, FRONTEND_VARIABLE)
        if said:
            return tuple(address.strip() for address in said.split(","))
        return read_cluster_file(self.folder(environment)).frontends

    def control_services(self, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """The control services' addresses; raise NotFoundError when no cluster is found."""
        said = _first_said(self.control, self.directory, environment, CONTROL_VARIABLE)
        if said:
            return tuple(address.strip() for address in said.split(","))
        return (read_cluster_file(self.folder(environment)).control,)

    def frontend_metrics(self, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """Metrics URLs of a local cluster's frontends; none of a cluster known by address only."""
        if _first_said(self.control, self.directory, environment, CONTROL_VARIABLE):
            return ()
        members = read_cluster_file(self.folder(environment)).of("frontend")
        return tuple(f"http://{member.metrics}/metrics" for member in members if member.metrics)

    def folder(self, environment: Mapping[str, str] = os.environ) -> Path:
        """The directory of a cluster of this machine."""
        if self.directory is not None:
            return self.directory
        said = environment.get(DIRECTORY_VARIABLE)
        return Path(said) if said else default_directory(environment)


def _first_said(
    flag: str, directory: Path | None, environment: Mapping[str, str], variable: str
) -> str:
    """An address flag beats a directory flag, and that beats the environment."""
    if flag or directory is not None:
        return flag
    return environment.get(variable, "")


def add_cluster_arguments(
    parser: argparse.ArgumentParser, *, frontend: bool = False, control: bool = False
) -> None:
    """Declare the flags that pick a cluster; ``cluster_choice`` reads them."""
    if frontend:
        parser.add_argument(
            "--address",
            default="",
            metavar="HOST:PORT[,…]",
            help=f"frontends (default: {FRONTEND_VARIABLE}, else the cluster of `nexus up`)",
        )
    if control:
        parser.add_argument(
            "--control",
            default="",
            metavar="HOST:PORT[,…]",
            help=f"control service (default: {CONTROL_VARIABLE}, else the cluster of `nexus up`)",
        )
    parser.add_argument(
        "--cluster-dir",
        type=Path,
        metavar="DIR",
        help=f"the --dir that `nexus up` was given (default: {DIRECTORY_VARIABLE}, else its own)",
    )


def cluster_choice(arguments: argparse.Namespace) -> ClusterChoice:
    """The parsed flags as a choice."""
    return ClusterChoice(
        address=getattr(arguments, "address", ""),
        control=getattr(arguments, "control", ""),
        directory=arguments.cluster_dir,
    )
