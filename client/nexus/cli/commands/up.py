"""``nexus up``: a whole cluster on this machine, until it is stopped."""

import argparse
import asyncio
import os
from pathlib import Path

from nexus.cli.cluster_file import ClusterFile, default_directory
from nexus.cli.local_cluster import LocalCluster
from nexus.cli.stop_signals import stop_event
from nexus.core.errors import InvalidArgumentError

EXAMPLE = """\
  nexus up                                       what the machine has: its GPUs, else one CPU
  nexus up --devices emulated:v100:16 --frontends 2"""
FRONTENDS_MAX = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--devices",
        default="",
        metavar="SPEC",
        help="comma list of cpu[:N], cuda[:N], emulated:TYPE[:N]; one backend each",
    )
    parser.add_argument("--frontends", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--dir", type=Path, help="cluster.json, logs/ and the store's data (default: per user)"
    )
    parser.add_argument(
        "--store", default="", metavar="URL", help="a running Redis (default: an embedded one)"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="compute threads of a CPU backend"
    )
    parser.add_argument(
        "--no-restart", action="store_true", help="leave a server that died dead, for experiments"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then stop every server in order."""
    if not 1 <= arguments.frontends <= FRONTENDS_MAX:
        raise InvalidArgumentError(
            f"--frontends {arguments.frontends} is not in 1..{FRONTENDS_MAX}"
        )
    if arguments.threads < 0:
        raise InvalidArgumentError(f"--threads {arguments.threads} is negative")
    cluster = LocalCluster(
        arguments.dir or default_directory(os.environ),
        devices=arguments.devices,
        frontends=arguments.frontends,
        store=arguments.store,
        threads=arguments.threads,
        restart=not arguments.no_restart,
        on_event=lambda event: print(event, flush=True),
    )
    asyncio.run(_serve(cluster))
    return 0


async def _serve(cluster: LocalCluster) -> None:
    told_to_stop = stop_event()
    print("starting …", flush=True)
    start = asyncio.create_task(cluster.start())
    stop = asyncio.create_task(told_to_stop.wait())
    try:
        await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            print("\n".join(_welcome(cluster.addresses, cluster.directory)), flush=True)
            await stop
            print("stopping …", flush=True)
    finally:
        for pending in (start, stop):
            pending.cancel()
        await asyncio.gather(start, stop, return_exceptions=True)
        await cluster.stop()


def _welcome(addresses: ClusterFile, directory: Path) -> list[str]:
    lines = [f"frontend   {address}" for address in addresses.frontends]
    lines.append(f"control    {addresses.control}")
    lines.append(f"store      {addresses.store}")
    lines += [f"backend    {member.name} ({member.device})" for member in addresses.of("backend")]
    lines += [f"metrics    {url}" for url in addresses.metrics_urls]
    lines.append(f"logs       {directory / 'logs'}")
    lines.append("ready; stop it with Ctrl-C")
    return lines
