"""``nexus plan``: what a load needs, without a cluster."""

import argparse
from pathlib import Path

from nexus.cli.output import print_json, write_picture
from nexus.core.errors import DocumentError, NotFoundError
from nexus.core.profile import Profile
from nexus.drawing.plan_picture import plan_svg
from nexus.scheduler.explain import plan_text
from nexus.scheduler.plan_scenario import plan_json, plan_scenario
from nexus.scheduler.scenario_file import read_scenario

EXAMPLE = """\
  nexus plan -f two-resnets.yaml
  nexus plan -f two-resnets.yaml --policy nexus --json
  nexus plan -f traffic.yaml --plot traffic.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("-f", "--file", type=Path, required=True, help="a scenario file")
    parser.add_argument(
        "--policy", metavar="NAME", help="default, nexus, nexus-without-NAME (default: the file's)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", metavar="OUT.svg", type=Path, help="also draw the plan")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; an infeasible session is part of a plan, not a failure."""
    scenario = read_scenario(arguments.file, read_profile)
    result = plan_scenario(scenario, arguments.policy)
    if arguments.plot is not None:
        write_picture(arguments.plot, plan_svg(result.plan, scenario.name))
    if arguments.json:
        print_json(plan_json(result))
    else:
        print(plan_text(result))
    return 0


def read_profile(path: Path, model: str, device: str) -> Profile:
    """A profile file, for the scheduler, which must not know the profiler.

    Raises:
        DocumentError: it is not one, or does not exist: either way the scenario is wrong.
    """
    from nexus.profiler.catalogue import read_any  # noqa: PLC0415 - only where a file is named

    try:
        return read_any(path, model=model, device=device).profile()
    except NotFoundError as error:
        raise DocumentError(error.message) from error
