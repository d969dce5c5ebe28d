"""``nexus get``: what is declared."""

import argparse

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.output import print_json, print_table, print_yaml
from nexus.client import ControlClient
from nexus.core.document import to_data
from nexus.core.model import Model
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.session import Session
from nexus.core.units import ms_from_us
from nexus.rpc.convert_control import KINDS, Declared, kind_of, name_of

EXAMPLE = """\
  nexus get session
  nexus get query street -o yaml"""
ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    kinds = [*KINDS, ALL]
    parser.add_argument("kind", choices=kinds, help=f"one of {', '.join(kinds)}")
    parser.add_argument("name", nargs="?", default="", help="one resource (default: all)")
    parser.add_argument(
        "-o", "--output", choices=["table", "yaml", "json"], default="table", help="default: table"
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="output", help="the same as -o json"
    )
    add_cluster_arguments(parser, control=True)


def run(arguments: argparse.Namespace) -> int:
    """Print the resources asked for."""
    with ControlClient(cluster_choice(arguments).control_services()) as control:
        if arguments.name:
            resources: tuple[Declared, ...] = (control.get(arguments.kind, arguments.name),)
        else:
            resources = control.list("" if arguments.kind == ALL else arguments.kind)
    if arguments.output == "table":
        print_table(
            ("kind", "name", "what"), [(kind_of(r), name_of(r), summary(r)) for r in resources]
        )
        return 0
    data = [{"kind": kind_of(resource), **to_data(resource)} for resource in resources]
    printed = data[0] if arguments.name else data
    (print_json if arguments.output == "json" else print_yaml)(printed)
    return 0


def summary(resource: Declared) -> str:
    """A resource in a few words."""
    match resource:
        case Model():
            runs = resource.network or resource.weights
            return f"{resource.engine.value} {runs}".strip() + f", batch <= {resource.max_batch}"
        case Session():
            return (
                f"{resource.model} within {ms_from_us(resource.slo_us):g} ms, "
                f"expects {resource.expected_rate:g}/s"
            )
        case Query():
            stages = ", ".join(f"{stage.name}: {stage.model}" for stage in resource.stages)
            return f"within {ms_from_us(resource.slo_us):g} ms: {stages}"
        case Profile():
            first, last = resource.latencies_us[0], resource.latencies_us[-1]
            return (
                f"l(1) = {ms_from_us(first):g} ms, "
                f"l({resource.max_batch}) = {ms_from_us(last):g} ms"
            )
