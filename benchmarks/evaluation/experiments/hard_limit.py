"""Goodput as a share of the hard limit: N devices that always run the best batch an SLO allows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.evaluation.cases import LIMIT_MODELS, Linear, at_limit
from benchmarks.evaluation.effort import Effort
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Case
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import (
    DEFAULT,
    PAPER,
    at_least,
    divided,
    factor_of,
    gain_percent,
    largest,
    least,
    ratio,
    search_words,
    share,
)
from nexus.drawing.axis import Axis
from nexus.drawing.column_chart import ColumnChart, Columns
from nexus.drawing.frame import Mark

POLICIES = (DEFAULT, PAPER, "symphony", "central-eager")
BURSTY_CV = 3.0
FRONTENDS = (1, 4, 16)
FRONTENDS_USUAL = 4
DEFERRED_GAIN = 1.18
"""The least gain that small simulations saw for N = 8 and Poisson arrivals (nexus.md 4)."""
TARGETS = {8: (0.88, 0.93), 32: (0.96, 0.98)}
"""Devices: what must be reached, what was aimed at."""
BURSTY_RATIO = 1.2
SINGLE_RATIO = 1.0
ABOUT = (
    "One session on N devices. The hard limit is N * max{b / l(b) : l(b) <= SLO}: every "
    "device always runs the best batch that the SLO allows at all, and no request ever "
    "waits. The paper's rule 2 l(b) <= SLO gives half of the SLO to waiting."
)

DEFERRAL = (
    "A central queue that is not deferred shows that central dispatch alone gains nothing: it is "
    "the deferral that fills batches."
)


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of the grid."""

    model: Linear
    devices: int
    frontends: int
    cv: float
    policy: str

    @property
    def case(self) -> Case:
        """As a case; baselines have one perfect dispatcher, whatever the frontends."""
        frontends = self.frontends if self.policy == DEFAULT else 1
        offered = at_limit(self.model, self.devices, frontends=frontends, cv=self.cv)
        return Case(scenario=offered, policy=self.policy)


Shares = dict[Point, float]


def hard_limit(lab: Lab) -> Section:
    """Shares by model, number of devices, burstiness, frontends and policy."""
    points = list(_grid(lab.effort))
    found = lab.capacities([point.case for point in points])
    shares: Shares = dict(zip(points, map(factor_of, found), strict=True))
    return Section(
        name="hard-limit",
        title="How close to the hard limit",
        about=ABOUT,
        seen=_seen(shares),
        run=search_words(lab.effort),
        promises=tuple(_promises(shares)),
        tables=tuple(_tables(shares)),
        pictures=(_picture(shares),),
    )


def _grid(effort: Effort) -> Iterator[Point]:
    models = LIMIT_MODELS if effort.thorough else LIMIT_MODELS[:1]
    sizes = (1, 8, 32) if effort.thorough else (1, 8)
    for model in models:
        for devices in sizes:
            for policy in POLICIES:
                yield Point(model, devices, FRONTENDS_USUAL, 1.0, policy)
            for policy in POLICIES[:3]:
                yield Point(model, devices, FRONTENDS_USUAL, BURSTY_CV, policy)
    for model in models if effort.thorough else ():
        for devices in TARGETS:
            for frontends in set(FRONTENDS) - {FRONTENDS_USUAL}:
                yield Point(model, devices, frontends, 1.0, DEFAULT)


def _of(shares: Shares, policy: str, devices: int, cv: float = 1.0) -> list[float]:
    return [
        value
        for point, value in shares.items()
        if (point.policy, point.devices, point.cv) == (policy, devices, cv)
    ]


def _gains(shares: Shares, devices: int, cv: float) -> list[float]:
    """The default over the paper, by model, at the usual number of frontends."""
    gains = []
    for point, value in shares.items():
        if (point.policy, point.devices, point.cv) == (PAPER, devices, cv):
            mine = shares.get(Point(point.model, devices, FRONTENDS_USUAL, cv, DEFAULT), math.nan)
            gains.append(divided(mine, value))
    return gains


def _promises(shares: Shares) -> Iterator[Promise]:
    for devices, (target, aim) in TARGETS.items():
        worst = least(_of(shares, DEFAULT, devices))
        yield Promise(
            what=f"share of the hard limit, {devices} devices, Poisson, 1 to 16 frontends, the "
            "least of three profiles",
            target=f">= {target} (aim {aim})",
            measured=share(worst),
            kept=at_least(worst, target),
        )
    bursty = least([gain for n in TARGETS for gain in _gains(shares, n, BURSTY_CV)])
    yield Promise(
        what="against Nexus at CV 3, 8 and 32 devices, the least of three profiles",
        target=f">= {ratio(BURSTY_RATIO)}",
        measured=ratio(bursty),
        kept=at_least(bursty, BURSTY_RATIO),
    )
    single = least([*_gains(shares, 1, 1.0), *_gains(shares, 1, BURSTY_CV)])
    yield Promise(
        what="against Nexus on a single device, Poisson and CV 3, the least",
        target=f">= {ratio(SINGLE_RATIO)}",
        measured=ratio(single),
        kept=at_least(single, SINGLE_RATIO),
    )
    gains = _gains(shares, 8, 1.0)
    yield Promise(
        what="deferred dispatch by one owner against round-robin with early drop, 8 devices",
        target="+18 to +43 %",
        measured=", ".join(gain_percent(gain) for gain in gains),
        kept=at_least(least(gains), DEFERRED_GAIN),
        paper=True,
    )


def _tables(shares: Shares) -> Iterator[Table]:
    for cv, title in ((1.0, "Poisson arrivals"), (BURSTY_CV, "Bursty arrivals, CV 3")):
        policies = POLICIES if cv == 1 else POLICIES[:3]
        rows = []
        for model, devices in _models_and_sizes(shares):
            values = [
                shares.get(Point(model, devices, FRONTENDS_USUAL, cv, policy), math.nan)
                for policy in policies
            ]
            gain = ratio(divided(values[0], values[1]))
            rows.append((model.words, str(devices), *map(share, values), gain))
        headings = ("l(b)", "devices", *policies, f"{DEFAULT} / {PAPER}")
        yield Table(headings, tuple(rows), f"Share of the hard limit. {title}")
    frontends = [
        (model.words, str(devices), *map(share, _by_frontends(shares, model, devices)))
        for model, devices in _models_and_sizes(shares)
        if devices in TARGETS
    ]
    headings = ("l(b)", "devices", *(f"{n} frontends" for n in FRONTENDS))
    yield Table(headings, tuple(frontends), f"{DEFAULT} by the number of frontends, Poisson")


def _by_frontends(shares: Shares, model: Linear, devices: int) -> list[float]:
    return [shares.get(Point(model, devices, n, 1.0, DEFAULT), math.nan) for n in FRONTENDS]


def _models_and_sizes(shares: Shares) -> Sequence[tuple[Linear, int]]:
    return list(dict.fromkeys((point.model, point.devices) for point in shares))


def _picture(shares: Shares) -> Picture:
    groups = _models_and_sizes(shares)
    return Picture(
        name="hard-limit",
        words="Share of the hard limit by profile, devices and policy",
        columns=ColumnChart(
            title="Share of the hard limit",
            subtitle="highest rate with 99 % in time, as a share of N max{b / l(b) : l(b) <= SLO}; "
            "Poisson",
            axis=Axis(title="share of the hard limit", high=1.0),
            groups=tuple(f"SLO {m.slo_ms:g}, N {n}" for m, n in groups),
            series=tuple(
                Columns(
                    policy,
                    tuple(
                        shares.get(Point(m, n, FRONTENDS_USUAL, 1.0, policy), math.nan)
                        for m, n in groups
                    ),
                )
                for policy in POLICIES
            ),
            levels=(Mark(TARGETS[8][0], "target at N = 8"),),
        ),
    )


def _seen(shares: Shares) -> tuple[str, ...]:
    pooled, paper = _of(shares, DEFAULT, 8), _of(shares, PAPER, 8)
    mine, theirs = (f"{share(least(some))} to {share(largest(some))}" for some in (pooled, paper))
    text = f"With 8 devices the default keeps {mine} of the limit, the paper's policy {theirs}."
    return text, DEFERRAL
