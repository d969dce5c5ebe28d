"""``nexus describe``: a resource, and what the cluster made of it."""

import argparse

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.output import print_json, print_yaml
from nexus.client import ControlClient
from nexus.rpc.convert_control import KINDS

EXAMPLE = """\
  nexus describe query street
  nexus describe session resnet50@50ms --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("kind", choices=list(KINDS), help=f"one of {', '.join(KINDS)}")
    parser.add_argument("name", help="the resource's name; a profile's is MODEL/DEVICE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_cluster_arguments(parser, control=True)


def run(arguments: argparse.Namespace) -> int:
    """Print the resource as declared, then placements, routes, split and what is infeasible."""
    with ControlClient(cluster_choice(arguments).control_services()) as control:
        found = control.describe(arguments.kind, arguments.name)
    data = {
        "kind": found.kind,
        "name": found.name,
        "declared": dict(found.resource),
        "cluster": dict(found.facts),
    }
    (print_json if arguments.json else print_yaml)(data)
    return 0
