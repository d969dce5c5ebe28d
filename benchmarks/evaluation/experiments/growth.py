"""How planning and simulating grow: times of this machine, on one core."""

import random
import time
from dataclasses import dataclass, replace

from benchmarks.evaluation.cases import LIMIT_MODELS, V100, at_limit
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Case, Run, lasting, run_case
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import DEFAULT, PAPER, at_least, at_most, seconds
from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.session import Session, SessionLoad
from nexus.core.units import us_from_ms
from nexus.drawing.axis import Axis
from nexus.drawing.line_chart import LineChart, Series
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.planner import Workload, make_plan
from nexus.scheduler.settings import policy

SESSIONS, SESSIONS_QUICK = (100, 1_000, 10_000, 100_000), (100, 1_000)
TARGET_SESSIONS = 10_000
PLAN_S_MAX, EPOCH_S_MAX = 2.0, 0.5
SPEED_MIN = 50_000
SPEED_DEVICES, SPEED_SHARE = 32, 0.8
SPEED_REQUESTS = 200_000
CHANGED = 0.05
"""The share of sessions whose rate has changed before the incremental epoch."""
SLOS_MS = (50, 80, 100, 150, 200, 300, 400)
DEVICES_PER_SESSION = 0.1
ABOUT = (
    "Random sessions of eight V100 models, ten to a device. The epoch goes on from the plan "
    f"in force after {CHANGED:.0%} of the rates have changed by up to a fifth. Wall time, one "
    "core, one process."
)
SEEN = "A straight line on both logarithmic axes with slope 1 is linear growth."


@dataclass(frozen=True, slots=True)
class Growth:
    """Seconds of a full plan, and of an epoch that goes on from it after small changes."""

    sessions: int
    devices: int
    plan_s: float
    epoch_s: float


def growth(lab: Lab) -> Section:
    """Planning by the number of sessions; simulated requests per second of wall time."""
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


def random_workload(sessions: int, seed: int = 1) -> Workload:
    """Loads whose devices, at best, are a tenth of the sessions."""
    rng = random.Random(seed)  # noqa: S311 - reproducible
    profiles = {
        name: linear_profile(name, "v100", alpha_ms * 1e3, beta_ms * 1e3, 64)
        for name, alpha_ms, beta_ms in V100
    }
    loads = []
    for index in range(sessions):
        profile = profiles[rng.choice(V100)[0]]
        slow_ms = profile.latency_us(1) / 1e3
        slo_ms = rng.choice([slo for slo in SLOS_MS if slo > 2.5 * slow_ms])
        session = Session(model=profile.model, slo_us=us_from_ms(slo_ms), name=f"s{index}")
        rate = profile.best_throughput * DEVICES_PER_SESSION * rng.paretovariate(1.5) / 3
        loads.append(SessionLoad(session, rate))
    return Workload(
        devices=(DeviceSpec(type="v100"),),
        profile=lambda model, _device: profiles.get(model),
        sessions=tuple(loads),
        queries=(),
        batch_caps={},
    )


def planning(sessions: int) -> Growth:
    """Time a full plan, then an epoch on from it."""
    workload, settings = random_workload(sessions), policy(DEFAULT)
    started = time.perf_counter()
    planned = make_plan(workload, settings)
    plan_s = time.perf_counter() - started
    in_force = [as_backend_plan(node, f"b{index}") for index, node in enumerate(planned.nodes)]
    changed = replace(workload, sessions=_changed(workload.sessions))
    started = time.perf_counter()
    make_plan(changed, settings, previous=in_force, choose=lambda kept, _fresh: kept)
    epoch_s = time.perf_counter() - started
    return Growth(sessions, len(in_force), plan_s, epoch_s)


def _changed(loads: tuple[SessionLoad, ...]) -> tuple[SessionLoad, ...]:
    rng = random.Random(2)  # noqa: S311 - reproducible
    return tuple(
        replace(load, rate=load.rate * rng.uniform(0.8, 1.2)) if rng.random() < CHANGED else load
        for load in loads
    )


def speed(policy_name: str, requests: int) -> Run:
    """One run of a single session on many devices, timed in this process."""
    busy = at_limit(LIMIT_MODELS[1], SPEED_DEVICES, frontends=4).scaled(SPEED_SHARE)
    return run_case(Case(scenario=lasting(busy, requests), policy=policy_name))


def requests_per_s(run: Run) -> float:
    """Simulated requests a second of wall time."""
    return run.requests / run.wall_s if run.wall_s else float("nan")


def _promises(points: list[Growth], speeds: dict[str, Run]) -> tuple[Promise, ...]:
    at = {point.sessions: point for point in points}
    target = at.get(TARGET_SESSIONS)
    plan_s = target.plan_s if target else float("nan")
    epoch_s = target.epoch_s if target else float("nan")
    mine = requests_per_s(speeds[DEFAULT])
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
            what="simulated requests per second of wall time, all checks on",
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


def _speeds(speeds: dict[str, Run]) -> Table:
    rows = tuple(
        (name, run.error or f"{run.requests:,}", f"{requests_per_s(run):,.0f}/s")
        for name, run in speeds.items()
    )
    return Table(("policy", "requests", "simulated per second"), rows, "Simulating")


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
