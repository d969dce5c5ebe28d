"""``nexus delete``: remove a declared resource."""

import argparse

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.client import ControlClient
from nexus.rpc.convert_control import KINDS

EXAMPLE = """\
  nexus delete session resnet50@50ms
  nexus delete profile resnet50/v100"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("kind", choices=list(KINDS), help=f"one of {', '.join(KINDS)}")
    parser.add_argument("name", help="the resource's name; a profile's is MODEL/DEVICE")
    add_cluster_arguments(parser, control=True)


def run(arguments: argparse.Namespace) -> int:
    """Remove it; refused while another resource needs it."""
    with ControlClient(cluster_choice(arguments).control_services()) as control:
        control.delete(arguments.kind, arguments.name)
    print(f"{arguments.kind} {arguments.name} deleted")
    return 0
