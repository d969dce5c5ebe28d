"""``python -m benchmarks.evaluation``: measure everything and write docs/evaluation.md.

Half an hour on two cores, a few minutes with ``--quick``. A section that fails says so on the page,
and the others go on; ``--only`` replaces single sections of the kept data.
"""

import argparse
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.evaluation.effort import FULL, QUICK
from benchmarks.evaluation.experiments import EXPERIMENTS, Experiment
from benchmarks.evaluation.lab import PROCESSES, Lab
from benchmarks.evaluation.rendering import render
from benchmarks.evaluation.section import (
    Evaluation,
    Section,
    read_evaluation,
    write_evaluation,
)
from nexus.core.clock import MonotonicClock
from nexus.core.units import s_from_us

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; exit code 1 when a section failed or a promise is not kept."""
    given = _parse(arguments)
    data, page = given.out / "evaluation.json", given.out / "evaluation.md"
    kept = read_evaluation(data)
    if given.render:
        if kept is None:
            print(f"{data} does not exist: run without --render first", file=sys.stderr)
            return 2
    else:
        kept = kept if kept is not None and given.only else Evaluation(sections=())
        for section in run_all(given.only or list(EXPERIMENTS), given.quick, given.processes):
            kept = kept.with_sections(Evaluation(sections=(section,)))
            write_evaluation(kept, data)
    render(kept, page, given.out / "images")
    print(f"wrote {page}")
    return int(any(section.failure for section in kept.sections))


def run_all(names: Sequence[str], quick: bool, processes: int) -> Iterator[Section]:
    """The named sections, in order, each as soon as it is there."""
    lab = Lab(QUICK if quick else FULL, processes, lambda line: print(line, flush=True))
    clock = MonotonicClock()
    for name in names:
        started_us = clock.now_us()
        print(f"== {name}", flush=True)
        section = run_one(name, EXPERIMENTS[name], lab)
        print(f"   {s_from_us(clock.now_us() - started_us):.0f} s", flush=True)
        yield replace(section, quick=quick)


def run_one(name: str, experiment: Experiment, lab: Lab) -> Section:
    """One section; a defect in it is its content, and not the end of the others."""
    try:
        return experiment(lab)
    except Exception as error:  # noqa: BLE001 - said on the page, with the traceback here
        traceback.print_exc()
        return Section(name=name, title=name, failure=f"{type(error).__name__}: {error}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="short runs, few cases")
    parser.add_argument(
        "--only",
        action="append",
        choices=tuple(EXPERIMENTS),
        metavar="NAME",
        help=f"this section only; may be repeated: {', '.join(EXPERIMENTS)}",
    )
    parser.add_argument("--render", action="store_true", help="write the page anew, run nothing")
    parser.add_argument(
        "--processes",
        type=_positive,
        default=PROCESSES,
        metavar="N",
        help="measurements made at once, where none measures wall time; default: all cores "
        "(the results do not depend on it)",
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="default: docs/")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
