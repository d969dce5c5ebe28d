"""``python -m nexus.simulator.replay SEED [SEED ...]``: run fault seeds again, as the tests do."""

import argparse
import sys
from collections.abc import Sequence

from nexus.core.document import to_data
from nexus.simulator.fault_seeds import check_seed, random_scenario


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what breaks and what came of it; 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="python -m nexus.simulator.replay", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    failed = False
    for seed in parser.parse_args(arguments).seeds:
        scenario = random_scenario(seed)
        print(f"seed {seed}: {scenario.network}")  # noqa: T201 - a command
        for fault in scenario.faults:
            print(f"  {to_data(fault)}")  # noqa: T201
        try:
            report = check_seed(seed)
        except AssertionError as error:
            failed = True
            print(f"  FAILED: {error}")  # noqa: T201
        else:
            print(f"  {report.requests} requests, worst {report.worst:.3f}: held")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
