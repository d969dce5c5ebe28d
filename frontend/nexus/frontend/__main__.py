"""The frontend process: ``python -m nexus.frontend`` or ``nexus frontend``."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from nexus.core.errors import NexusError
from nexus.frontend.server import FrontendServer
from nexus.frontend.settings import FrontendSettings, parse_settings
from nexus.rpc.pauses import shorten_pauses
from nexus.store import open_store
from nexus.telemetry.logs import configure_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. 0 after a drain, 1 when it cannot serve, 2 on bad flags."""
    try:
        settings = parse_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    except NexusError as error:
        sys.stderr.write(f"nexus frontend: {error.message}\n")
        return 2
    configure_logging("frontend", settings.log_level)
    try:
        uvloop.run(_serve(settings))
    except NexusError as error:
        sys.stderr.write(f"nexus frontend: {error.message}\n")
        return 1
    return 0


async def _serve(settings: FrontendSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = FrontendServer(settings, open_store(settings.store))
    try:
        await server.start()
        shorten_pauses()
        sys.stdout.write(server.ready_line + "\n")
        sys.stdout.flush()
        await stopping.wait()
        await server.drain()
    finally:
        await server.close()


if __name__ == "__main__":
    sys.exit(main())
