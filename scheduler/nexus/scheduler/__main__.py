"""``python -m nexus.scheduler`` and ``nexus scheduler``: composition, and nothing else."""

import asyncio
import sys
from collections.abc import Sequence

from nexus.core.errors import InvalidArgumentError, NexusError
from nexus.scheduler.flags import parse_flags
from nexus.scheduler.server import ConnectScaler, serve
from nexus.telemetry.logs import configure_logging

EXIT_FAILED = 1
EXIT_USAGE = 2


def main(
    arguments: Sequence[str] | None = None, connect_scaler: ConnectScaler | None = None
) -> int:
    """Run a scheduler until SIGTERM; return its exit code.

    ``connect_scaler`` is what ``--kubernetes-namespace`` needs; only the ``nexus`` command has it.
    """
    try:
        flags = parse_flags(arguments)
        if flags.kubernetes_namespace and connect_scaler is None:
            message = "--kubernetes-namespace needs the replica controller: use `nexus scheduler`"
            return _complain(message, EXIT_USAGE)
        configure_logging("scheduler", flags.log_level)
        asyncio.run(serve(flags, connect_scaler))
    except InvalidArgumentError as error:
        return _complain(error.message, EXIT_USAGE)
    except NexusError as error:
        return _complain(error.message, EXIT_FAILED)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"nexus scheduler: {message}", file=sys.stderr)  # noqa: T201 - a command's error
    return code


if __name__ == "__main__":
    sys.exit(main())
