"""Random planning problems, and slow but obvious solvers to hold the real ones against."""

import itertools
import math
import random
from collections.abc import Sequence

from hypothesis import strategies as st

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile, linear_profile
from nexus.core.query import Query, Stage
from nexus.core.session import Session, SessionLoad
from nexus.core.units import BYTES_PER_MB
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import Node
from nexus.scheduler.offer import offer_of
from nexus.scheduler.planner import Workload
from nexus.scheduler.stage_cost import INFINITE, Curve

DEVICE = DeviceSpec(type="gpu", memory_bytes=16_000)
V100_MS = (
    (0.22, 3.74),
    (0.75, 7.96),
    (1.25, 13.57),
    (1.77, 18.98),
    (1.18, 15.39),
    (0.69, 19.96),
    (1.74, 23.10),
    (1.12, 32.33),
    (0.25, 8.41),
    (0.96, 11.77),
)
"""alpha and beta of image models on a V100 (SHEPHERD, table 4)."""


def demand_of(
    profile: Profile, slo_us: int, rate: float, *, name: str = "", network_us: int = 0
) -> Demand:
    session = Session(model=profile.model, slo_us=slo_us, name=name)
    return make_demand(session, rate, profile, batch_cap=profile.max_batch, network_us=network_us)


def make_demand(
    session: Session, rate: float, profile: Profile, *, batch_cap: int, network_us: int
) -> Demand:
    """As the planner makes it, on a device type with room for any model."""
    device = DeviceSpec(type=profile.device)
    return offer_of(device, profile, batch_cap, network_us).demand(session, rate)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Any positive latencies, monotone or not; memory up to two thirds of the device."""
    return Profile(
        model=f"m{draw(st.integers(0, 5))}",
        device=DEVICE.type,
        latencies_us=tuple(draw(st.lists(st.integers(500, 60_000), min_size=1, max_size=12))),
        memory_bytes=draw(st.integers(0, 10_000)),
        preprocess_us=draw(st.integers(0, 2_000)),
        postprocess_us=draw(st.integers(0, 2_000)),
    )


@st.composite
def demand_lists(draw: st.DrawFn) -> list[Demand]:
    """Feasible demands of distinct sessions; sessions of one model share its profile."""
    by_model: dict[str, Profile] = {}
    demands = []
    for index in range(draw(st.integers(1, 7))):
        profile = draw(profiles())
        profile = by_model.setdefault(profile.model, profile)
        overhead_us = profile.preprocess_us + profile.postprocess_us
        least_us = 2 * min(profile.latencies_us) + overhead_us
        slo_us = draw(st.integers(least_us, 400_000))
        rate = draw(st.floats(0.05, 600))
        demands.append(demand_of(profile, slo_us, rate, name=f"s{index}"))
    return demands


def assert_node_feasible(node: Node) -> None:
    """The four constraints of a node, spelled out."""
    work_us = 0
    memory: dict[str, int] = {}
    for demand, batch in zip(node.demands, node.batches, strict=True):
        latency_us = demand.profile.latency_us(batch)
        overhead_us = demand.profile.preprocess_us + demand.profile.postprocess_us
        work_us += latency_us
        memory[demand.session.model] = demand.profile.memory_bytes
        assert 1 <= batch <= demand.batch_limit
        assert node.duty_cycle_us + latency_us <= demand.session.slo_us - overhead_us
        assert batch >= node.duty_cycle_us * demand.rate / 1e6 - 1e-4
    assert work_us <= node.duty_cycle_us
    assert sum(memory.values()) <= node.device.memory_bytes or not node.device.memory_bytes
    assert len({demand.name for demand in node.demands}) == len(node.demands)


def random_residues(rng: random.Random, count: int) -> list[Demand]:
    """Residual sessions of V100 models, SLOs of 50 to 400 ms, none filling a device."""
    residues: list[Demand] = []
    while len(residues) < count:
        alpha_ms, beta_ms = rng.choice(V100_MS)
        slo_us = rng.choice((50, 100, 150, 200, 300, 400)) * 1000
        profile = linear_profile(f"m{beta_ms}", "gpu", alpha_ms * 1000, beta_ms * 1000, 64)
        demand = demand_of(profile, slo_us, 1.0, name=f"s{len(residues)}")
        if demand.batch:
            residues.append(demand.at_rate(demand.throughput * rng.uniform(0.02, 0.6)))
    return residues


def fewest_devices(residues: Sequence[Demand]) -> int:
    """The exact optimum: the fewest groups, each of which fits one device at some duty cycle."""
    everyone = (1 << len(residues)) - 1
    fits = [False] * (everyone + 1)
    fits[0] = True
    for group in range(1, everyone + 1):
        members = [i for i in range(len(residues)) if group >> i & 1]
        fits[group] = all(fits[group & ~(1 << i)] for i in members) and _fits(
            [residues[i] for i in members]
        )
    fewest = [0] + [len(residues)] * everyone
    for group in range(1, everyone + 1):
        part = group
        while part:
            if fits[part]:
                fewest[group] = min(fewest[group], 1 + fewest[group & ~part])
            part = (part - 1) & group
    return fewest[everyone]


def _fits(members: Sequence[Demand]) -> bool:
    cycles = {
        math.floor(batch * 1e6 / member.rate)
        for member in members
        for batch in range(1, member.profile.max_batch + 1)
    }
    cycles |= {
        member.budget_us - latency_us
        for member in members
        for latency_us in member.profile.latencies_us
    }
    return any(_fits_cycle(members, cycle) for cycle in cycles if cycle > 0)


def _fits_cycle(members: Sequence[Demand], cycle_us: int) -> bool:
    work_us = 0
    for member in members:
        batch = max(1, math.ceil(cycle_us * member.rate / 1e6 - 1e-6))
        if batch > member.profile.max_batch:
            return False
        latency_us = member.profile.latency_us(batch)
        if cycle_us + latency_us > member.budget_us:
            return False
        work_us += latency_us
    return work_us <= cycle_us


@st.composite
def small_queries(draw: st.DrawFn, *, stages_max: int = 5) -> Query:
    """Any DAG of a few stages: trees, forests, joins, and graphs that are neither."""
    count = draw(st.integers(1, stages_max))
    stages = []
    for index in range(count):
        parents = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        after = tuple(f"s{parent}" for parent in sorted(parents))
        stages.append(Stage(name=f"s{index}", model=f"m{index}", after=after))
    return Query(name="q", slo_us=1_000_000, stages=tuple(stages))


def cheapest_split(query: Query, curves: dict[str, Curve], segments: int) -> float:
    """The least cost over all budgets on the grid, by trying every one of them."""
    names = [stage.name for stage in query.stages]
    paths = _paths(query)
    best = INFINITE
    for budgets in itertools.product(range(segments + 1), repeat=len(names)):
        given = dict(zip(names, budgets, strict=True))
        if all(sum(given[name] for name in path) <= segments for path in paths):
            best = min(best, sum(curves[name][given[name]] for name in names))
    return best


def _paths(query: Query) -> list[tuple[str, ...]]:
    def onward(path: tuple[str, ...]) -> list[tuple[str, ...]]:
        children = query.children(path[-1])
        if not children:
            return [path]
        return [longer for child in children for longer in onward((*path, child.name))]

    return [path for root in query.roots for path in onward((root.name,))]


def random_workload(rng: random.Random, count: int, *, devices: int | None = None) -> Workload:
    """``count`` sessions of V100 models, five a model, SLOs of 40 to 400 ms, ten a device.

    Rates are log-uniform: from a thousandth of a device's throughput to a third of it.
    """
    profiles = {}
    for index in range(max(10, count // 5)):
        alpha_ms, beta_ms = V100_MS[index % len(V100_MS)]
        scale = rng.uniform(500, 1500)
        memory_bytes = rng.randint(50, 800) * BYTES_PER_MB
        profiles[f"m{index}"] = linear_profile(
            f"m{index}", "gpu", alpha_ms * scale, beta_ms * scale, 64, memory_bytes=memory_bytes
        )
    loads: list[SessionLoad] = []
    while len(loads) < count:
        profile = rng.choice(list(profiles.values()))
        slo_us = rng.randint(40, 400) * 1000
        demand = demand_of(profile, slo_us, 1.0, name=f"s{len(loads)}")
        if demand.batch:
            rate = demand.throughput * 10 ** rng.uniform(-3, -0.5)
            loads.append(SessionLoad(demand.session, rate))
    return Workload(
        devices=(DeviceSpec(type="gpu", count=devices, memory_bytes=16_000 * BYTES_PER_MB),),
        profile=lambda model, _: profiles.get(model),
        sessions=tuple(loads),
    )
