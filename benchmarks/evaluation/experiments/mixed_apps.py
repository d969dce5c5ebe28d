"""The paper's mixed applications: how near to full batches, back to back."""

from dataclasses import replace

from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Capacity, Case, Run
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import DEFAULT, PAPER, at_least, search_words, share
from nexus.drawing.axis import Axis
from nexus.drawing.column_chart import ColumnChart, Columns
from nexus.drawing.frame import Mark
from nexus.simulator.experiments.mixed_apps import BOUND, DEVICES, PAPER_SHARE
from nexus.simulator.experiments.mixed_apps import mixed_apps as applications

ARRIVALS = ("uniform", "poisson")
POLICIES = (DEFAULT, PAPER)
POISSON_MIN, POISSON_AIM = 0.86, 0.92
PAPER_LOAD_US = 20_000_000
ABOUT = (
    f"Seven applications of one to five stages and twelve models on {DEVICES} devices. The "
    "lower bound counts devices that run full batches back to back, SLOs ignored; the paper "
    f"used 11.7 devices where the bound was {BOUND} ({PAPER_SHARE}), with uniform arrivals."
)
SEEN = (
    "The share is the lower bound at the highest rate that is kept, over the devices there "
    "are: what is missing to 1 is time that no batch of a feasible size could fill."
)


def mixed_apps(lab: Lab) -> Section:
    """Capacities of sixteen devices, as shares of what the lower bound allows."""
    grid = [(kind, policy) for kind in ARRIVALS for policy in POLICIES]
    cases = [
        Case(scenario=applications(kind).scaled(DEVICES / BOUND), policy=policy)
        for kind, policy in grid
    ]
    found = dict(zip(grid, lab.capacities(cases), strict=True))
    shares = {key: bound_share(capacity) for key, capacity in found.items()}
    at_paper_load = [
        Case(scenario=replace(applications(kind), duration_us=PAPER_LOAD_US), policy=policy)
        for kind, policy in grid
    ]
    runs = dict(zip(grid, lab.runs(at_paper_load), strict=True))
    return Section(
        name="mixed-apps",
        title="Mixed applications",
        about=ABOUT,
        seen=(SEEN,),
        run=search_words(lab.effort),
        promises=_promises(shares),
        tables=(_table(found, shares), _busy(runs)),
        pictures=(_picture(shares),),
    )


def bound_share(capacity: Capacity) -> float:
    """Devices' worth of best batches at capacity, as a share of the devices; NaN if none."""
    return capacity.run.lower_bound / DEVICES if capacity.run is not None else float("nan")


Shares = dict[tuple[str, str], float]


def _promises(shares: Shares) -> tuple[Promise, ...]:
    poisson, uniform = shares["poisson", DEFAULT], shares["uniform", DEFAULT]
    return (
        Promise(
            what="mixed applications, Poisson: share of the lower bound",
            target=f">= {POISSON_MIN} (aim {POISSON_AIM})",
            measured=share(poisson),
            kept=at_least(poisson, POISSON_MIN),
        ),
        Promise(
            what="mixed applications, uniform: share of the lower bound at < 1 % bad",
            target=f">= {PAPER_SHARE}",
            measured=f"{share(uniform)} ({PAPER} {share(shares['uniform', PAPER])})",
            kept=at_least(uniform, PAPER_SHARE),
            paper=True,
        ),
    )


def _table(found: dict[tuple[str, str], Capacity], shares: Shares) -> Table:
    rows = tuple(
        (
            kind,
            policy,
            capacity.error or f"{capacity.goodput:,.0f}/s",
            share(shares[kind, policy]),
        )
        for (kind, policy), capacity in found.items()
    )
    return Table(("arrivals", "policy", "frames in time", "share of the bound"), rows)


def _busy(runs: dict[tuple[str, str], Run]) -> Table:
    """The paper's own load: how many devices work, where it used 11.7 for a bound of 9.8."""
    rows = tuple(
        (
            kind,
            policy,
            run.error or f"{run.devices_used:.2f}",
            share(run.lower_bound / run.devices_used if run.devices_used else float("nan")),
            f"{100 * run.bad_fraction:.2f} %",
            f"{100 * run.worst:.2f} %",
        )
        for (kind, policy), run in runs.items()
    )
    heads = ("arrivals", "policy", "devices busy", "bound / busy", "bad", "worst in time")
    return Table(heads, rows, title=f"At the paper's load (bound {BOUND})")


def _picture(shares: Shares) -> Picture:
    return Picture(
        name="mixed-apps",
        words="Share of the lower bound, by arrivals and policy",
        columns=ColumnChart(
            title="Mixed applications",
            subtitle=f"highest rate kept by {DEVICES} devices, as a share of the lower bound",
            axis=Axis(title="share of the lower bound", high=1.0),
            groups=ARRIVALS,
            series=tuple(
                Columns(policy, tuple(shares[kind, policy] for kind in ARRIVALS))
                for policy in POLICIES
            ),
            levels=(Mark(PAPER_SHARE, "the paper, uniform"),),
        ),
    )
