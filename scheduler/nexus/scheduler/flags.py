"""The scheduler's flags, and ``NEXUS_*`` environment variables of the same names."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nexus.core.names import require_name
from nexus.core.units import us_from_ms, us_from_s
from nexus.rpc.address import parse_address
from nexus.scheduler.settings import EpochSettings, PlannerSettings, policy
from nexus.store.cluster import DEFAULT_CLUSTER

NETWORK_MS = 2.0
"""There and back between frontend and backend unless said otherwise, as in the paper's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerFlags:
    """The command line of one scheduler. Addresses are ``host:port``; port 0 takes a free one."""

    listen: str
    metrics_listen: str
    store: str
    cluster: str
    name: str
    advertise: str
    log_level: str
    planner: PlannerSettings
    epochs: EpochSettings
    kubernetes_namespace: str


def parse_flags(
    arguments: Sequence[str] | None, environment: Mapping[str, str] = os.environ
) -> SchedulerFlags:
    """Parse the command line; raise InvalidArgumentError on a value out of range."""
    given = _parser(environment).parse_args(arguments)
    require_name("scheduler", given.name)
    base = policy(given.policy)
    planner = replace(
        base,
        headroom=given.headroom or base.headroom,
        network_us=us_from_ms(given.network_ms),
    )
    epochs = EpochSettings(
        epoch_us=us_from_s(given.epoch_s), epoch_min_us=us_from_s(given.min_epoch_s)
    )
    for address in (given.listen, given.metrics_listen):
        parse_address(address)
    return SchedulerFlags(
        listen=given.listen,
        metrics_listen=given.metrics_listen,
        store=given.store,
        cluster=given.cluster,
        name=given.name,
        advertise=given.advertise,
        log_level=given.log_level,
        planner=planner,
        epochs=epochs,
        kubernetes_namespace=given.kubernetes_namespace,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nexus scheduler",
        description="Plan the cluster: batch sizes, placement, replicas. Also the control service.",
        epilog="example: nexus scheduler --store redis://127.0.0.1:6379 --listen 0.0.0.0:8001",
    )

    def flag(name: str, default: str | float, text: str) -> None:
        # The help shows the default, never the environment: a store's URL may hold a password.
        variable = f"NEXUS_{name.upper().replace('-', '_')}"
        parser.add_argument(
            f"--{name}",
            type=type(default),
            default=environment.get(variable, str(default)),
            help=f"{text} (${variable}; {default or 'none'})",
        )

    flag("listen", "127.0.0.1:0", "HOST:PORT of the control service")
    flag("metrics-listen", "127.0.0.1:0", "HOST:PORT of the metrics")
    flag("store", "redis://127.0.0.1:6379", "URL of the store")
    flag("cluster", DEFAULT_CLUSTER, "name of the cluster")
    flag("name", f"scheduler-{socket.gethostname()}", "this scheduler's name")
    flag("advertise", "127.0.0.1", "host under which others reach this process")
    flag("log-level", "info", "debug, info, warning or error")
    flag("policy", "default", "planning policy")
    flag("kubernetes-namespace", "", "scale the backends in this namespace; empty: do not")
    flag("headroom", 0.0, "share of capacity to plan for, in (0, 1]; 0: the policy's own")
    flag("network-ms", NETWORK_MS, "way to a backend and back, taken off every SLO")
    flag("epoch-s", 30.0, "plan at least this often")
    flag("min-epoch-s", 10.0, "plan at most this often when rates move")
    return parser
