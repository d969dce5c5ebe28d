"""``nexus top``: the cluster as it is now, refreshed."""

import argparse
import contextlib
import importlib
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.output import print_json
from nexus.cli.top_view import Look, as_data, as_text, outcomes_of
from nexus.client import ControlClient
from nexus.core.clock import MonotonicClock
from nexus.core.errors import InvalidArgumentError

EXAMPLE = """\
  nexus top
  nexus top --once --json"""
INTERVAL_MIN_S = 0.1
SCRAPE_TIMEOUT_S = 1.0
_CLOCK = MonotonicClock()

Show = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="default: 1")
    parser.add_argument("--once", action="store_true", help="show one interval and end")
    parser.add_argument("--json", action="store_true", help="print JSON, for one interval")
    parser.add_argument(
        "--metrics",
        action="append",
        default=[],
        metavar="URL",
        help="a frontend's metrics, for drops (default: those of `nexus up`)",
    )
    add_cluster_arguments(parser, control=True)


def run(arguments: argparse.Namespace) -> int:
    """Look every interval until interrupted."""
    if arguments.interval < INTERVAL_MIN_S:
        raise InvalidArgumentError(f"--interval must be at least {INTERVAL_MIN_S:g} s")
    choice = cluster_choice(arguments)
    urls = arguments.metrics or choice.frontend_metrics()
    with ControlClient(choice.control_services()) as control:
        looks = _looks(control, urls, arguments.interval)
        before = next(looks)
        if arguments.json:
            print_json(as_data(before, next(looks)))
            return 0
        if arguments.once:
            print(as_text(before, next(looks)))
            return 0
        with _screen() as show, contextlib.suppress(KeyboardInterrupt):
            for now in looks:
                show(as_text(before, now))
                before = now
    return 0


def _looks(control: ControlClient, urls: Sequence[str], interval_s: float) -> Iterator[Look]:
    while True:
        yield Look(
            at_us=_CLOCK.now_us(),
            view=control.cluster(),
            plan=control.plan(),
            table=control.routing_table(),
            outcomes=outcomes_of([page for url in urls if (page := _page(url))]),
        )
        time.sleep(interval_s)


def _page(url: str) -> str:
    """A metrics page; empty while the server is away: the view goes on without it."""
    if not url.startswith(("http://", "https://")):
        raise InvalidArgumentError(f"--metrics {url!r} is not an http URL")
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as reply:  # noqa: S310 - checked above
            return str(reply.read().decode())
    except OSError:
        return ""


@contextlib.contextmanager
def _screen() -> Iterator[Show]:
    """Redraw in place on a terminal (with rich where it is installed), else print."""
    if not sys.stdout.isatty():
        yield lambda text: print(text, end="\n\n", flush=True)
        return
    try:
        live = importlib.import_module("rich.live")
        text_of = importlib.import_module("rich.text").Text
    except ModuleNotFoundError:
        yield lambda text: print(f"\x1b[H\x1b[2J{text}", flush=True)
        return
    with live.Live(screen=True, auto_refresh=False) as display:
        yield lambda text: display.update(text_of(text), refresh=True)
