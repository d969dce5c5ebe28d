"""``nexus apply``: declare resources."""

import argparse
import sys
from pathlib import Path

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.output import print_json
from nexus.client import ControlClient
from nexus.core.document import to_data
from nexus.core.errors import NotFoundError
from nexus.scheduler.resources import parse_resources

EXAMPLE = """\
  nexus apply -f street.yaml
  generate-resources | nexus apply -f - --dry-run"""
STDIN = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("-f", "--file", required=True, help="YAML documents; - reads stdin")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_cluster_arguments(parser, control=True)


def run(arguments: argparse.Namespace) -> int:
    """Declare all the resources of a file, or none of them."""
    # Read here and not by the server, so that an error names the file and not only the line.
    source = "stdin" if arguments.file == STDIN else arguments.file
    resources = parse_resources(read_text(arguments.file), source)
    with ControlClient(cluster_choice(arguments).control_services()) as control:
        applied = control.apply(resources=resources, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(to_data(applied))
        return 0
    would = "would be " if arguments.dry_run else ""
    for one in applied:
        print(f"{one.kind} {one.name} {would}{one.change}")
    return 0


def read_text(file: str) -> str:
    """A text file, or stdin for ``-``; raise NotFoundError when it cannot be read."""
    if file == STDIN:
        return sys.stdin.read()
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{file} cannot be read: {error}") from error
