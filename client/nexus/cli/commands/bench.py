"""``nexus bench``: open-loop load against a running cluster."""

import argparse
import asyncio
import importlib
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from nexus.cli.bench_report import BenchReport
from nexus.cli.bench_schedule import Source, schedule, sources_of
from nexus.cli.commands.plan import read_profile
from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.input_words import zeros
from nexus.cli.load_generator import BenchOperation, LoadGenerator
from nexus.cli.output import print_json
from nexus.client import Client, ControlClient, operations
from nexus.client.inputs import frame_bytes
from nexus.core.clock import MonotonicClock
from nexus.core.errors import DeadlineError, InvalidArgumentError, NotFoundError
from nexus.core.tensor import DataType, Tensor
from nexus.core.units import us_from_s
from nexus.rpc.convert_control import Declared
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import read_scenario

EXAMPLE = """\
  nexus bench -f eight-models.yaml --apply --seconds 60
  nexus bench -f eight-models.yaml --rate-factor 1.5 --json"""
DEFAULT_WARMUP_S = 2.0
PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
GOOD_FRACTION_MIN = 0.99
READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.2
_CLOCK = MonotonicClock()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("-f", "--file", type=Path, required=True, help="a scenario file")
    parser.add_argument("--apply", action="store_true", help="first declare what the file names")
    parser.add_argument("--seconds", type=float, help="how long (default: the file's duration_s)")
    parser.add_argument(
        "--warmup",
        type=float,
        default=DEFAULT_WARMUP_S,
        metavar="SECONDS",
        help=f"load before counting begins (default: {DEFAULT_WARMUP_S:g})",
    )
    parser.add_argument("--rate-factor", type=float, default=1.0, metavar="F", help="default: 1")
    parser.add_argument("--seed", type=int, help="of the arrivals (default: the file's)")
    parser.add_argument(
        "--payload-bytes", type=int, default=1024, metavar="N", help="of a request (default: 1024)"
    )
    parser.add_argument("--frame", type=Path, help="the image sent to queries")
    parser.add_argument("--connections", type=int, default=1, metavar="N", help="to each frontend")
    parser.add_argument(
        "--framed",
        default="",
        metavar="HOST:PORT[,…]",
        help="send requests of sessions as frames to a frontend's --data-listen: costs far less",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_cluster_arguments(parser, frontend=True, control=True)


def run(arguments: argparse.Namespace) -> int:
    """0 when every session and query had at least 99 % good, else 1."""
    _require_ranges(arguments)
    scenario = read_scenario(arguments.file, read_profile)
    choice = cluster_choice(arguments)
    if arguments.apply:
        _declare(scenario, choice.control_services())
    sources = sources_of(scenario, arguments.rate_factor)
    frontends = choice.frontends()
    with Client(frontends) as client:
        if arguments.apply:
            _wait_ready(client, sources)
        requests = _operations(sources, client, arguments)
    generator = LoadGenerator(
        frontends,
        requests,
        arguments.connections,
        framed=tuple(filter(None, arguments.framed.split(","))),
    )
    warmup_us = us_from_s(arguments.warmup)
    counted_us = us_from_s(arguments.seconds) if arguments.seconds else scenario.duration_us
    seed = scenario.seed if arguments.seed is None else arguments.seed
    duration_us = warmup_us + counted_us
    due = schedule(sources, duration_us, seed)
    report = _run_fast(generator.run(due, warmup_us=warmup_us, duration_us=duration_us))
    if arguments.json:
        print_json(report.as_data())
    else:
        print(report.as_text())
    tallies = report.tallies.values()
    return 0 if all(tally.good >= GOOD_FRACTION_MIN * tally.offered for tally in tallies) else 1


def _run_fast(run: Coroutine[Any, Any, BenchReport]) -> BenchReport:
    """On uvloop where it is installed: the generator shares the machine with the cluster."""
    try:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    except ModuleNotFoundError:
        loop_factory = None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run)


def _require_ranges(arguments: argparse.Namespace) -> None:
    limits = (
        ("--seconds", arguments.seconds if arguments.seconds is not None else 1.0, 1e-3, 86_400),
        ("--warmup", arguments.warmup, 0, 3_600),
        ("--rate-factor", arguments.rate_factor, 1e-6, 1e6),
        ("--payload-bytes", arguments.payload_bytes, 0, PAYLOAD_BYTES_MAX),
    )
    for flag, value, low, high in limits:
        if not low <= value <= high:
            raise InvalidArgumentError(f"{flag} {value:g} is not in {low:g}..{high:g}")


def _declare(scenario: Scenario, addresses: tuple[str, ...]) -> None:
    catalogue = scenario.catalogue()
    resources: tuple[Declared, ...] = (
        *catalogue.models,
        *catalogue.profiles,
        *catalogue.sessions,
        *catalogue.queries,
    )
    with ControlClient(addresses) as control:
        control.apply(resources=resources)


def _wait_ready(client: Client, sources: tuple[Source, ...]) -> None:
    """Return when a backend serves every model under load; a query's readiness is not asked."""
    deadline_us = us_from_s(READY_TIMEOUT_S) + _CLOCK.now_us()
    for model in {source.target for source in sources if not source.is_query}:
        while not _is_ready(client, model):
            if _CLOCK.now_us() > deadline_us:
                raise DeadlineError(
                    f"model {model!r} was not ready within {READY_TIMEOUT_S:g} s; "
                    f"`nexus describe model {model}` says why"
                )
            time.sleep(READY_POLL_S)


def _is_ready(client: Client, model: str) -> bool:
    try:
        return client.ready(model)
    except NotFoundError:
        # The frontend has not read the declaration yet.
        return False


def _operations(
    sources: tuple[Source, ...], client: Client, arguments: argparse.Namespace
) -> dict[Source, BenchOperation]:
    frame = frame_bytes(arguments.frame) if arguments.frame else bytes(arguments.payload_bytes)
    made: dict[Source, BenchOperation] = {}
    for source in sources:
        if source.is_query:
            made[source] = operations.query(source.target, frame, frame_id=0, stream_id="")
            continue
        declared = client.metadata(source.target).inputs
        inputs = tuple(zeros(spec) for spec in declared) or _payload(arguments.payload_bytes)
        made[source] = operations.infer(
            source.target, inputs, version="", slo_ms=None, session=source.name, outputs=()
        )
    return made


def _payload(size: int) -> tuple[Tensor, ...]:
    """For a model that declares no inputs (an emulated one): so many bytes, one item."""
    return (Tensor("payload", DataType.UINT8, (1, size), bytes(size)),)
