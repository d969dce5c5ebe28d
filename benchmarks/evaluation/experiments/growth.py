"""How planning and simulating grow: times of this machine, on one core."""

import time
from dataclasses import dataclass

from benchmarks.evaluation.cases import LIMIT_MODELS, at_limit
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Case, Run, lasting, run_case
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import DEFAULT, PAPER, at_least, at_most, seconds
from benchmarks.planning import plan_twice
from nexus.drawing.axis import Axis
from nexus.drawing.line_chart import LineChart, Series
from nexus.scheduler.settings import policy

SESSIONS, SESSIONS_QUICK = (100, 1_000, 10_000, 100_000), (100, 1_000)
TARGET_SESSIONS = 10_000
PLAN_S_MAX, EPOCH_S_MAX = 2.0, 0.5
SPEED_MIN = 50_000
SPEED_DEVICES, SPEED_SHARE = 32, 0.8
SPEED_REQUESTS = 200_000
ABOUT = (
    "Random sessions of V100 models. Before the next epoch the rates drift by up to 5 %, one "
    "session of 500 is replaced and a device is lost; the epoch goes on from the plan in force and "
    "places it. Times are CPU time of one core: the wall time of a core with nothing else to do."
)
SEEN = "A straight line on both logarithmic axes with slope 1 is linear growth."


@dataclass(frozen=True, slots=True)
class Growth:
    """Seconds of a full plan, and of an epoch that goes on from it after small changes."""

    sessions: int
    devices: int
    plan_s: float
    epoch_s: float


@dataclass(frozen=True, slots=True)
class Speed:
    """One simulation, and the CPU time it took."""

    run: Run
    cpu_s: float

    @property
    def requests_per_s(self) -> float:
        """Simulated requests a second of CPU time: what is judged."""
        return self.run.requests / self.cpu_s if self.cpu_s else float("nan")

    @property
    def requests_per_wall_s(self) -> float:
        """The same of wall time, with whatever else the machine did."""
        return self.run.requests / self.run.wall_s if self.run.wall_s else float("nan")


def growth(lab: Lab) -> Section:
    """Planning by the number of sessions; simulated requests per second of one core."""
    sizes = SESSIONS if lab.effort.thorough else SESSIONS_QUICK
    points = []
    for size in sizes:
        points.append(planning(size))
        lab.say(f"  {points[-1]}")
    speeds = {
        name: speed(name, SPEED_REQUESTS // (1 if lab.effort.thorough else 10))
        for name in (DEFAULT, PAPER)
    }
    return Section(
        name="growth",
        title="Growth",
        about=ABOUT,
        seen=(SEEN,),
        run=f"simulator: one pooled session, {SPEED_DEVICES} devices at {SPEED_SHARE:.0%} of the "
        "hard limit, 4 frontends",
        promises=_promises(points, speeds),
        tables=(_table(points), _speeds(speeds)),
        pictures=(_picture(points),),
    )


def planning(sessions: int) -> Growth:
    """Time a full plan, then the next epoch's."""
    plan_s, epoch_s, devices, _ = plan_twice(policy(DEFAULT), sessions)
    return Growth(sessions, devices, plan_s, epoch_s)


def speed(policy_name: str, requests: int) -> Speed:
    """One run of a single session on many devices, timed in this process."""
    busy = at_limit(LIMIT_MODELS[1], SPEED_DEVICES, frontends=4).scaled(SPEED_SHARE)
    case = Case(scenario=lasting(busy, requests), policy=policy_name)
    started_s = time.process_time()
    run = run_case(case)
    return Speed(run, time.process_time() - started_s)


def _promises(points: list[Growth], speeds: dict[str, Speed]) -> tuple[Promise, ...]:
    at = {point.sessions: point for point in points}
    target = at.get(TARGET_SESSIONS)
    plan_s = target.plan_s if target else float("nan")
    epoch_s = target.epoch_s if target else float("nan")
    mine = speeds[DEFAULT].requests_per_s
    return (
        Promise(
            what=f"full plan of {TARGET_SESSIONS:,} sessions",
            target=f"< {PLAN_S_MAX:g} s",
            measured=seconds(plan_s),
            kept=at_most(plan_s, PLAN_S_MAX),
        ),
        Promise(
            what=f"incremental epoch of {TARGET_SESSIONS:,} sessions",
            target=f"< {EPOCH_S_MAX:g} s",
            measured=seconds(epoch_s),
            kept=at_most(epoch_s, EPOCH_S_MAX),
        ),
        Promise(
            what="simulated requests per second of one core (CPU time), all checks on",
            target=f">= {SPEED_MIN:,}",
            measured=f"{mine:,.0f}",
            kept=at_least(mine, SPEED_MIN),
        ),
    )


def _table(points: list[Growth]) -> Table:
    rows = tuple(
        (
            f"{p.sessions:,}",
            f"{p.devices:,}",
            f"{p.plan_s:.3f} s",
            f"{p.epoch_s:.3f} s",
            f"{1e6 * p.plan_s / p.sessions:.0f} us",
        )
        for p in points
    )
    return Table(("sessions", "devices", "full plan", "epoch", "plan, a session"), rows, "Planning")


def _speeds(speeds: dict[str, Speed]) -> Table:
    rows = tuple(
        (
            name,
            speed.run.error or f"{speed.run.requests:,}",
            f"{speed.requests_per_s:,.0f}/s",
            f"{speed.requests_per_wall_s:,.0f}/s",
        )
        for name, speed in speeds.items()
    )
    head = ("policy", "requests", "simulated per second of CPU time", "of wall time")
    return Table(head, rows, "Simulating")


def _picture(points: list[Growth]) -> Picture:
    sizes = tuple(float(point.sessions) for point in points)
    return Picture(
        name="growth",
        words="Planning time by the number of sessions",
        lines=LineChart(
            title="Planning time",
            subtitle="one core; both axes logarithmic",
            x=Axis(title="sessions", log=True),
            y=Axis(title="time", unit="s", log=True),
            series=(
                Series("full plan", sizes, tuple(point.plan_s for point in points)),
                Series("epoch", sizes, tuple(point.epoch_s for point in points)),
            ),
        ),
    )
