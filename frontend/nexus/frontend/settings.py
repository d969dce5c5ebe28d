"""How a frontend is started: flags, and ``NEXUS_*`` environment variables of the same names."""

import argparse
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nexus.core.names import FrontendName, require_name
from nexus.rpc.address import Address, parse_address
from nexus.store.cluster import DEFAULT_CLUSTER

ANY_LOCAL_PORT = Address("127.0.0.1", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendSettings:
    """``advertise`` is the host that others reach this process by.

    ``data_listen`` is where requests are taken as frames; None: nowhere. ``peer_listen`` is where
    other frontends ask this one about the pools that it owns.
    """

    listen: Address
    metrics_listen: Address
    store: str
    cluster: str
    name: FrontendName
    advertise: str
    log_level: str = "info"
    data_listen: Address | None = None
    peer_listen: Address = ANY_LOCAL_PORT


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> FrontendSettings:
    """Flags win over environment variables; both over the defaults.

    Raises:
        InvalidArgumentError: an address is not HOST:PORT or a name is not a name.
        SystemExit: on ``--help`` and on unknown flags, as argparse has it.
    """
    flags = _parser(environment).parse_args(arguments)
    require_name("frontend", flags.name)
    require_name("cluster", flags.cluster)
    listen = parse_address(flags.listen, "--listen")
    return FrontendSettings(
        listen=listen,
        metrics_listen=parse_address(flags.metrics_listen, "--metrics-listen"),
        store=flags.store,
        cluster=flags.cluster,
        name=flags.name,
        advertise=flags.advertise or _advertised(listen.host),
        log_level=flags.log_level,
        data_listen=parse_address(flags.data_listen, "--data-listen")
        if flags.data_listen
        else None,
        peer_listen=parse_address(flags.peer_listen, "--peer-listen")
        if flags.peer_listen
        else Address(listen.host, 0),
    )


def _advertised(host: str) -> str:
    return socket.gethostname() if host in {"0.0.0.0", "[::]"} else host  # noqa: S104 - compared


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nexus frontend",
        description="Admit, route and answer inference requests and queries.",
        epilog="example: nexus frontend --listen 127.0.0.1:8001 --store redis://127.0.0.1:6379",
    )

    def add(flag: str, default: str, text: str) -> None:
        variable = f"NEXUS_{flag.upper().replace('-', '_')}"
        parser.add_argument(
            f"--{flag}",
            default=environment.get(variable, default),
            help=f"{text} (default %(default)s; or {variable})",
        )

    add("listen", "127.0.0.1:8001", "HOST:PORT for gRPC; port 0 takes a free one")
    add("metrics-listen", "127.0.0.1:8002", "HOST:PORT for Prometheus")
    add("data-listen", "", "HOST:PORT for requests as frames; empty: off")
    add("peer-listen", "", "HOST:PORT for other frontends; empty: --listen's host, any port")
    add("store", "redis://127.0.0.1:6379", "URL of the store")
    add("cluster", DEFAULT_CLUSTER, "name of the cluster")
    add("name", socket.gethostname(), "name of this frontend, unique in the cluster")
    add("advertise", "", "host that others reach this process by")
    add("log-level", "info", "debug, info, warning or error")
    return parser
