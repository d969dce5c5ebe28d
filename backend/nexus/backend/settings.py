"""The backend's flags, and the environment variables of the same names (``NEXUS_DATA_LISTEN``)."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nexus.backend.device_name import DeviceName, parse_device
from nexus.backend.engine import REPLY_US
from nexus.core.errors import InvalidArgumentError
from nexus.core.names import require_name
from nexus.core.units import BYTES_PER_MB, ms_from_us, us_from_ms
from nexus.rpc.address import parse_address

PREPARE_WORKERS = 4
"""The paper's backends kept 4 to 5 cores busy with preprocessing for one GPU."""

GRACE_S = 10.0
"""How long a draining backend finishes work before it ends anyway."""


_EPILOG = """example:
  nexus backend --device emulated:v100 --store redis://127.0.0.1:6379 --name b0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """What one backend process is told. Addresses are ``HOST:PORT``; port 0 takes a free one."""

    listen: str
    data_listen: str
    metrics_listen: str
    store: str
    cluster: str
    name: str
    advertise: str
    device: DeviceName
    memory_bytes: int = 0
    threads: int = 0
    prepare_workers: int = PREPARE_WORKERS
    model_root: Path | None = None
    reply_us: int = REPLY_US
    grace_s: float = GRACE_S
    emulated_jitter: float = 0.0
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on values out of range."""
        require_name("backend", self.name)
        require_name("cluster", self.cluster)
        for address in (self.listen, self.data_listen, self.metrics_listen):
            parse_address(address)
        if self.memory_bytes < 0 or self.threads < 0 or self.grace_s < 0:
            raise InvalidArgumentError("--memory-mb, --threads and --grace-s must not be negative")
        if self.reply_us < 0:
            raise InvalidArgumentError("--reply-ms must not be negative")
        if self.prepare_workers < 1:
            raise InvalidArgumentError("--prepare-workers must be at least 1")
        if not 0 <= self.emulated_jitter < 1:
            raise InvalidArgumentError("--emulated-jitter must be in [0, 1)")


def parse_settings(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> BackendSettings:
    """Flags over environment over defaults.

    Raises:
        InvalidArgumentError: a value is malformed or out of range.
        SystemExit: ``--help``, or a flag that does not exist (2).
    """
    given = _parser(environment).parse_args(arguments)
    host = _host(given.data_listen)
    everywhere = host in {"0.0.0.0", "[::]"}  # noqa: S104 - compared, not bound
    return BackendSettings(
        listen=given.listen,
        data_listen=given.data_listen,
        metrics_listen=given.metrics_listen,
        store=given.store,
        cluster=given.cluster,
        name=given.name,
        advertise=given.advertise or (socket.gethostname() if everywhere else host),
        device=parse_device(given.device),
        memory_bytes=given.memory_mb * BYTES_PER_MB,
        threads=given.threads,
        prepare_workers=given.prepare_workers,
        model_root=Path(given.model_root) if given.model_root else None,
        reply_us=us_from_ms(given.reply_ms),
        grace_s=given.grace_s,
        emulated_jitter=given.emulated_jitter,
        log_level=given.log_level,
    )


def _host(address: str) -> str:
    return parse_address(address).host


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nexus backend",
        description="Serve models on one device. It does what the published plan says.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag, default, text in (
        ("--listen", "127.0.0.1:8001", "control gRPC, HOST:PORT"),
        ("--data-listen", "127.0.0.1:8003", "frames from frontends, HOST:PORT"),
        ("--metrics-listen", "127.0.0.1:8002", "Prometheus metrics, HOST:PORT"),
        ("--store", "redis://127.0.0.1:6379", "URL of the cluster's store"),
        ("--cluster", "default", "cluster name, which prefixes its keys in the store"),
        ("--name", socket.gethostname(), "this backend's name, unique in the cluster"),
        ("--advertise", "", "host under which frontends reach this backend"),
        ("--device", "cpu", "cpu, cuda:INDEX or emulated:TYPE"),
        ("--model-root", "", "folder that relative weights paths start from"),
        ("--log-level", "info", "debug, info, warning or error"),
    ):
        parser.add_argument(flag, default=_default(environment, flag, default), help=text)
    for flag, number, text in (
        ("--memory-mb", 0, "memory that models may occupy; 0: not limited"),
        ("--threads", 0, "threads of one operator on the CPU; 0: the library's choice"),
        ("--prepare-workers", PREPARE_WORKERS, "threads that pre- and postprocess"),
    ):
        parser.add_argument(
            flag, type=int, default=_default(environment, flag, str(number)), help=text
        )
    for flag, fraction, text in (
        ("--reply-ms", ms_from_us(REPLY_US), "kept free before each deadline for the way back"),
        ("--grace-s", GRACE_S, "how long to finish queued work after SIGTERM"),
        ("--emulated-jitter", 0.0, "relative standard deviation of an emulated batch's time"),
    ):
        parser.add_argument(
            flag, type=float, default=_default(environment, flag, str(fraction)), help=text
        )
    return parser


def _default(environment: Mapping[str, str], flag: str, default: str) -> str:
    return environment.get("NEXUS_" + flag.removeprefix("--").replace("-", "_").upper(), default)
