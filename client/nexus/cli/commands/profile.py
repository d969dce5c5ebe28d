"""``nexus profile``: measure l(b) of a model on a device of this machine."""

import argparse
import sys
from pathlib import Path

from nexus.backend.device_name import parse_device
from nexus.cli.commands.apply import read_text
from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.output import print_json
from nexus.cli.progress_bar import progress_on
from nexus.client import ControlClient
from nexus.core.document import to_data
from nexus.core.errors import NotFoundError
from nexus.core.model import BATCH_LIMIT, Model
from nexus.profiler.catalogue import ProfileCatalogue
from nexus.profiler.measure import profile_model
from nexus.profiler.profiled_device import open_device
from nexus.profiler.settings import ProfilerSettings
from nexus.profiler.text_format import format_profile
from nexus.scheduler.resources import parse_resources

EXAMPLE = """\
  nexus profile street-detector --device cpu --apply
  nexus profile resnet50 -f models.yaml --device cuda:0 --out profiles/"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("model", help="the model's name")
    parser.add_argument(
        "-f", "--file", help="resources that declare the model (default: ask the cluster)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:INDEX (default: cpu)")
    parser.add_argument("--max-batch", type=int, default=BATCH_LIMIT, metavar="N")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of one operator")
    parser.add_argument("--model-root", type=Path, help="where relative weights paths start")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write DIR/DEVICE/MODEL.txt")
    parser.add_argument("--apply", action="store_true", help="declare the profile to the cluster")
    parser.add_argument("--json", action="store_true", help="print the profile as JSON")
    add_cluster_arguments(parser, control=True)


def run(arguments: argparse.Namespace) -> int:
    """Measure, then print, write and declare as asked."""
    device = open_device(
        parse_device(arguments.device), threads=arguments.threads, model_root=arguments.model_root
    )
    measurement = profile_model(
        _model(arguments),
        device,
        settings=ProfilerSettings(max_batch=arguments.max_batch),
        on_progress=progress_on(sys.stderr),
    )
    profile = measurement.profile()
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    if arguments.json:
        print_json(to_data(profile))
    else:
        print(format_profile(measurement), end="")
    if arguments.out:
        print(f"written to {ProfileCatalogue(arguments.out).save(measurement)}", file=sys.stderr)
    if arguments.apply:
        with ControlClient(cluster_choice(arguments).control_services()) as control:
            (applied,) = control.apply(resources=[profile])
        print(f"profile {applied.name} {applied.change}", file=sys.stderr)
    return 0


def _model(arguments: argparse.Namespace) -> Model:
    if not arguments.file:
        with ControlClient(cluster_choice(arguments).control_services()) as control:
            found = control.get("model", arguments.model)
        assert isinstance(found, Model), found
        return found
    for resource in parse_resources(read_text(arguments.file), arguments.file):
        if isinstance(resource, Model) and resource.name == arguments.model:
            return resource
    raise NotFoundError(f"{arguments.file} declares no model {arguments.model!r}")
