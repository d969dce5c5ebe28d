"""``nexus simulate``: a scenario in virtual time, with the very engines that the servers run."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nexus.cli.commands.plan import read_profile
from nexus.cli.output import print_json, table_lines, write_picture
from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S, ms_from_us, s_from_us
from nexus.drawing.simulation_picture import (
    SecondsOfDevice,
    SecondsOfSession,
    SimulationPicture,
    simulation_svg,
)
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import read_scenario
from nexus.simulator.ledger import Account
from nexus.simulator.policies import simulate_policy
from nexus.simulator.rate_search import search_rate
from nexus.simulator.report import SimulationReport, percentile

EXAMPLE = """\
  nexus simulate -f traffic.yaml
  nexus simulate -f traffic.yaml --policy nexus --search rate --json
  nexus simulate -f traffic.yaml --seed 7 --plot traffic.svg"""
_HEADINGS = (
    "session",
    "offered",
    "good %",
    "late",
    "failed",
    "p50 ms",
    "p99 ms",
    "batch",
    "dropped",
)
SEEDS_MAX = 2**63 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("-f", "--file", type=Path, required=True, help="a scenario file")
    parser.add_argument("--seed", type=int, metavar="N", help="default: the file's")
    parser.add_argument(
        "--policy", metavar="NAME", help="a planner's policy or a baseline (default: the file's)"
    )
    parser.add_argument(
        "--search",
        choices=("rate",),
        help="find the largest factor on all rates with >= 99 %% good everywhere",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", metavar="OUT.svg", type=Path, help="also draw the run")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; that few requests were in time is a result, not a failure."""
    scenario = read_scenario(arguments.file, read_profile, counted=True)
    if arguments.seed is not None:
        if not 0 <= arguments.seed <= SEEDS_MAX:
            raise InvalidArgumentError(f"--seed {arguments.seed} is not in 0..{SEEDS_MAX}")
        scenario = replace(scenario, seed=arguments.seed)
    report, found = _simulate(scenario, arguments.policy, search=bool(arguments.search))
    if arguments.plot is not None:
        write_picture(arguments.plot, simulation_svg(picture_of(report)))
    if arguments.json:
        print_json({**found, **report.as_data()})
    else:
        print(simulation_text(report, found))
    return 0


def simulation_text(report: SimulationReport, found: Mapping[str, float]) -> str:
    """What people read."""
    rows = [_row(report, name, account) for name, account in report.accounts.items()]
    bound = sum(report.lower_bound.values())
    simulated_s = s_from_us(report.simulated_us)
    load = f"goodput {report.goodput:.1f}/s of {report.requests / simulated_s:.1f}/s offered"
    devices = f"{report.devices_used:.2f} devices busy of {len(report.devices)}"
    lines = table_lines(_HEADINGS, rows)
    lines.append(f"{load}, {100 * report.bad_fraction:.2f} % bad")
    lines.append(f"{devices}, lower bound {bound:.2f}; mean batch {report.mean_batch():.1f}")
    ran = f"{simulated_s:g} s simulated in {report.wall_s:.1f} s"
    lines.append(f"policy {report.policy}, seed {report.seed}, {ran}")
    lines += (f"{key} {value:g}" for key, value in found.items())
    return "\n".join(lines)


def picture_of(report: SimulationReport) -> SimulationPicture:
    """The report as the drawing wants it."""
    seconds = -(-report.simulated_us // US_PER_S)

    def padded(counts: list[int]) -> tuple[int, ...]:
        return (*counts, *(0 for _ in range(seconds - len(counts))))

    return SimulationPicture(
        title=f"{report.scenario}, policy {report.policy}",
        sessions=tuple(
            SecondsOfSession(
                name, padded(account.offered_by_second), padded(account.good_by_second)
            )
            for name, account in report.accounts.items()
        ),
        batches=report.batches,
        devices=tuple(
            SecondsOfDevice(use.backend, tuple(us / US_PER_S for us in use.busy_us_by_second))
            for use in report.devices
        ),
    )


def _simulate(
    scenario: Scenario, policy: str | None, *, search: bool
) -> tuple[SimulationReport, dict[str, float]]:
    """The report, and what a search found."""
    if not search:
        return simulate_policy(scenario, policy), {}
    found = search_rate(scenario, lambda scaled: simulate_policy(scaled, policy))
    return found.report, {"factor": round(found.factor, 4)}


def _row(report: SimulationReport, name: str, account: Account) -> tuple[Any, ...]:
    drops = sorted((reason.value, count) for reason, count in account.dropped.items())
    p50_us, p99_us = (percentile(account.latencies_us, share) for share in (0.5, 0.99))
    return (
        name,
        account.offered,
        round(100 * account.good_fraction, 2),
        account.late,
        account.failed,
        round(ms_from_us(p50_us), 1),
        round(ms_from_us(p99_us), 1),
        f"{report.mean_batch(name):.1f}" if name in report.sessions else "",
        ", ".join(f"{reason} {count}" for reason, count in drops),
    )
