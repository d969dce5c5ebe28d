"""Pools in the roll-out: who is a member when, whatever the target and the cluster do."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nexus.core.cluster import BackendState, BackendStatus, FrontendReport
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile, linear_profile
from nexus.core.routing import Pool, RoutingTable
from nexus.scheduler.rollout import Published, Rollout, Target, roll_out, spots_of

BACKENDS = ("b0", "b1", "b2", "b3")
SESSIONS = ("s0", "s1", "s2")


def profile_of(placement: Placement, device: str) -> Profile:
    return replace(linear_profile(placement.model, device, 1_000, 2_000, 8), preprocess_us=300)


def placement(session: str, pool: str | None, *, spare: bool = False) -> Placement:
    return Placement(
        session=session,
        model=session,
        slo_us=50_000,
        batch=4,
        rate=0.0 if spare else 100.0,
        latency_us=6_000,
        memory_bytes=6,
        pool=pool,
        spare=spare,
    )


def backend(name: str, *placements: Placement) -> BackendPlan:
    return BackendPlan(
        backend=name, device="gpu", duty_cycle_us=6_000, occupancy=1.0, placements=placements
    )


class Stage:
    """A target, what is published of it, and backends that load when a test says so."""

    def __init__(self, memory_bytes: int = 0) -> None:
        self.target = Target()
        self.table = RoutingTable()
        self.published = Published()
        self.memory_bytes = memory_bytes
        self.loaded: dict[str, set[str]] = {name: set() for name in BACKENDS}
        self.failed: dict[str, dict[str, str]] = {}
        self.dead: set[str] = set()
        self.seen = 0

    def aim(self, *backends: BackendPlan) -> None:
        self.target = Target(backends=backends)

    def statuses(self) -> list[BackendStatus]:
        return [
            BackendStatus(
                backend=name,
                incarnation=1,
                address=f"{name}:1",
                control_address="",
                device="gpu",
                memory_bytes=self.memory_bytes,
                state=BackendState.SERVING,
                loaded=tuple(sorted(loaded)),
                failed=self.failed.get(name, {}),
            )
            for name, loaded in self.loaded.items()
            if name not in self.dead
        ]

    def publish(self) -> Rollout:
        report = FrontendReport(
            frontend="f", incarnation=1, address="", at_us=0, table_version=self.seen
        )
        step = roll_out(self.target, self.published, self.statuses(), [report], profile_of)
        newer = (step.sessions, step.pools) != (self.published.sessions, self.published.pools)
        self.published = Published(
            backends=step.backends,
            sessions=step.sessions,
            pools=step.pools,
            table_version=self.published.table_version + newer,
            withdrawn=step.withdrawn,
        )
        return step

    def follow(self) -> None:
        """Everybody does as told at once."""
        asked = {plan.backend: plan.placements for plan in self.published.backends}
        self.loaded = {name: {p.session for p in asked.get(name, ())} for name in BACKENDS}
        self.seen = self.published.table_version

    def settle(self) -> Rollout:
        for _ in range(8):
            self.publish()
            self.follow()
        return self.publish()

    def pool(self, name: str) -> Pool | None:
        return next((pool for pool in self.published.pools if pool.name == name), None)

    def shown(self, name: str) -> str:
        """``s0,s1 on b0,b1,(b2)``: spares in brackets."""
        pool = self.pool(name)
        if pool is None:
            return "nothing"
        members = [f"({m.backend})" if m.spare else m.backend for m in pool.members]
        return f"{','.join(s.session for s in pool.sessions)} on {','.join(members)}"


def pool_of(name: str, sessions: str, *backends: str) -> tuple[BackendPlan, ...]:
    return tuple(backend(b, *(placement(s, name) for s in sessions.split())) for b in backends)


def test_pool_rollout_admits_members_as_they_load() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0 s1", "b0", "b1"))
    stage.publish()
    assert stage.shown("p") == "nothing"
    stage.loaded["b0"] = {"s0"}
    stage.publish()
    assert stage.shown("p") == "s0 on b0"
    stage.loaded["b0"] = {"s0", "s1"}
    stage.publish()
    assert stage.shown("p") == "s0,s1 on b0"
    stage.loaded["b1"] = {"s0", "s1"}
    stage.publish()
    assert stage.shown("p") == "s0,s1 on b0,b1"


def test_pool_rollout_tells_the_owner_what_a_session_costs() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"))
    step = stage.settle()
    (session,) = step.pools[0].sessions
    assert session.latencies_us == tuple(1_000 * b + 2_000 for b in range(1, 9))
    assert (session.batch, session.rate) == (4, 200.0)
    assert (session.preprocess_us, session.postprocess_us) == (300, 0)
    assert step.pools[0].members[0].address == "b0:1"
    (routes,) = step.sessions
    assert (routes.pool, routes.pool_rate, routes.routes) == ("p", 200.0, ())


def test_pool_rollout_keeps_local_routes_beside_the_pool() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"), backend("b2", placement("s0", None)))
    (routes,) = stage.settle().sessions
    assert (routes.pool, [route.backend for route in routes.routes]) == ("p", ["b2"])


def test_pool_rollout_lets_a_dead_member_go_with_the_next_table() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"))
    stage.settle()
    stage.dead.add("b1")
    stage.publish()
    assert stage.shown("p") == "s0 on b0"
    stage.dead.add("b0")
    (routes,) = stage.publish().sessions
    assert stage.shown("p") == "nothing"
    assert (routes.pool, routes.pool_rate) == (None, 0.0)


def test_pool_rollout_routes_spares_as_such() -> None:
    stage = Stage()
    stage.aim(
        *pool_of("p", "s0", "b0", "b1"),
        backend("b2", placement("s0", "p", spare=True), placement("s1", None, spare=True)),
        backend("b3", placement("s1", None)),
    )
    step = stage.settle()
    assert stage.shown("p") == "s0 on b0,b1,(b2)"
    assert stage.loaded["b2"] == {"s0", "s1"}
    by_session = {routes.session: routes for routes in step.sessions}
    assert by_session["s0"].pool_rate == 200.0
    shown = [(route.backend, route.spare) for route in by_session["s1"].routes]
    assert shown == [("b2", True), ("b3", False)]


def test_pool_rollout_does_not_wait_for_spares() -> None:
    stage = Stage()
    stage.aim(backend("b0", placement("s0", None)))
    stage.settle()
    stage.aim(*pool_of("p", "s0", "b1", "b2"), backend("b3", placement("s0", "p", spare=True)))
    stage.publish()
    stage.loaded |= {"b1": {"s0"}, "b2": {"s0"}}
    (routes,) = stage.publish().sessions
    assert (routes.pool, routes.routes) == ("p", ())


def test_pool_rollout_moves_a_session_once_the_new_pool_is_as_large() -> None:
    stage = Stage()
    stage.aim(*pool_of("old", "s0", "b0", "b1"))
    stage.settle()
    stage.aim(*pool_of("new", "s0", "b2", "b3"))
    stage.publish()
    stage.loaded["b2"] = {"s0"}
    stage.publish()
    assert (stage.shown("old"), stage.shown("new")) == ("s0 on b0,b1", "nothing")
    stage.loaded["b3"] = {"s0"}
    stage.publish()
    assert (stage.shown("old"), stage.shown("new")) == ("nothing", "s0 on b2,b3")
    assert [p.rate for b in stage.published.backends for p in b.placements][:2] == [0.0, 0.0]


def test_pool_rollout_merges_two_pools_once_nobody_loses_a_member() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"), *pool_of("q", "s1", "b2", "b3"))
    stage.settle()
    stage.aim(*pool_of("p", "s0 s1", *BACKENDS))
    stage.publish()
    for name in BACKENDS[:3]:
        stage.loaded[name] = {"s0", "s1"}
    stage.publish()
    assert (stage.shown("p"), stage.shown("q")) == ("s0 on b0,b1,b2", "s1 on b2,b3")
    stage.loaded["b3"] = {"s0", "s1"}
    stage.publish()
    assert (stage.shown("p"), stage.shown("q")) == ("s0,s1 on b0,b1,b2,b3", "nothing")


def test_pool_rollout_merges_two_pools_without_the_member_that_has_no_room_yet() -> None:
    stage = Stage(memory_bytes=12)
    stage.aim(*pool_of("p", "s0", "b0", "b1"), *pool_of("q", "s1 s2", "b2"))
    stage.settle()
    stage.aim(*pool_of("p", "s0 s1", "b0", "b1", "b2"), *pool_of("q", "s2", "b3"))
    stage.settle()
    assert (stage.shown("p"), stage.shown("q")) == ("s0,s1 on b0,b1,b2", "s2 on b3")


def test_pool_rollout_keeps_a_session_until_its_new_pool_admits_it() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"), *pool_of("q", "s1", "b2", "b3"))
    stage.settle()
    stage.aim(*pool_of("p", "s0 s1", "b2", "b3"))
    stage.publish()
    stage.loaded["b2"] = {"s0", "s1"}
    stage.publish()
    assert (stage.shown("p"), stage.shown("q")) == ("s0 on b0,b1,b2", "s1 on b2,b3")


def test_pool_rollout_keeps_local_routes_until_the_pool_admits_the_session() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"), backend("b2", placement("s1", None)))
    stage.settle()
    stage.aim(*pool_of("p", "s0 s1", "b2", "b3"))
    stage.publish()
    stage.loaded |= {"b2": {"s0", "s1"}, "b3": {"s1"}}
    local = stage.publish().sessions[1]
    assert (stage.shown("p"), local.pool) == ("s0 on b0,b1,b2", None)
    assert [route.backend for route in local.routes] == ["b2"]


def test_pool_rollout_admits_nobody_at_the_cost_of_a_session_that_waits() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"))
    stage.settle()
    stage.aim(*pool_of("p", "s1", "b1"), *pool_of("q", "s0", "b2", "b3"))
    stage.publish()
    stage.loaded["b1"] = {"s0", "s1"}
    stage.publish()
    assert stage.shown("p") == "s0 on b0,b1"
    stage.loaded |= {"b2": {"s0"}, "b3": {"s0"}}
    stage.publish()
    assert (stage.shown("p"), stage.shown("q")) == ("s1 on b1", "s0 on b2,b3")


def test_pool_rollout_swaps_the_sessions_of_two_pools_in_one_table() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0"), *pool_of("q", "s1", "b1"))
    stage.settle()
    stage.aim(*pool_of("p", "s1", "b2"), *pool_of("q", "s0", "b3"))
    stage.publish()
    stage.loaded["b2"] = {"s1"}
    stage.publish()
    assert (stage.shown("p"), stage.shown("q")) == ("s0 on b0", "s1 on b1")
    stage.loaded["b3"] = {"s0"}
    stage.publish()
    assert (stage.shown("p"), stage.shown("q")) == ("s1 on b2", "s0 on b3")


def test_pool_rollout_adds_a_session_without_losing_members() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"))
    stage.settle()
    stage.aim(*pool_of("p", "s0 s1", "b0", "b1"))
    stage.publish()
    stage.loaded["b0"] = {"s0", "s1"}
    stage.publish()
    assert stage.shown("p") == "s0 on b0,b1"
    stage.loaded["b1"] = {"s0", "s1"}
    stage.publish()
    assert stage.shown("p") == "s0,s1 on b0,b1"


def test_pool_rollout_serves_a_session_that_one_member_cannot_load() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0 s1", "b0", "b1", "b2"))
    stage.loaded |= {"b0": {"s0", "s1"}, "b1": {"s0", "s1"}, "b2": {"s0"}}
    stage.failed["b2"] = {"s1": "no such weights"}
    stage.publish()
    stage.publish()
    assert stage.shown("p") == "s0,s1 on b0,b1"


def test_pool_rollout_is_not_stopped_by_a_session_that_loads_nowhere() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0 s1", "b0", "b1"))
    stage.loaded |= {"b0": {"s0"}, "b1": {"s0"}}
    stage.failed = {name: {"s1": "no such weights"} for name in ("b0", "b1")}
    step = stage.publish()
    assert stage.shown("p") == "s0 on b0,b1"
    assert step.sessions[1].infeasible.startswith("s1 failed to load on b0: no such weights")


def test_pool_rollout_changes_the_device_type_of_a_pool_without_a_gap() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0", "b0", "b1"))
    stage.settle()
    stage.aim(*(replace(plan, device="tpu") for plan in pool_of("p", "s0", "b2", "b3")))
    stage.publish()
    stage.loaded["b2"] = {"s0"}
    stage.publish()
    assert stage.shown("p") == "s0 on b0,b1"
    stage.loaded["b3"] = {"s0"}
    stage.publish()
    assert stage.shown("p") == "s0 on b2,b3"


def test_rollout_changes_the_model_of_a_session_without_a_gap() -> None:
    stage = Stage()
    stage.aim(backend("b0", placement("s0", None)), backend("b1", placement("s0", None)))
    stage.settle()
    stage.aim(backend("b0", placement("s0~v", None)), backend("b1", placement("s0~v", None)))
    stage.publish()
    stage.loaded["b0"] = {"s0", "s0~v"}
    (routes,) = stage.publish().sessions
    assert (routes.served_as, [r.backend for r in routes.routes]) == ("s0", ["b0", "b1"])
    stage.loaded["b1"] = {"s0", "s0~v"}
    step = stage.publish()
    (routes,) = step.sessions
    assert (routes.session, routes.served_as) == ("s0", "s0~v")
    assert [r.backend for r in routes.routes] == ["b0", "b1"]
    assert {p.session: p.rate for p in step.backends[0].placements} == {"s0~v": 100.0, "s0": 0.0}
    stage.seen = stage.published.table_version
    assert [p.session for p in stage.publish().backends[0].placements] == ["s0~v"]


def test_rollout_changes_the_model_of_a_pooled_session_without_a_gap() -> None:
    stage = Stage()
    stage.aim(*pool_of("p", "s0 s1", "b0", "b1"))
    stage.settle()
    stage.aim(*pool_of("p", "s0~v s1", "b0", "b1"))
    stage.publish()
    stage.loaded["b0"] = {"s0", "s1", "s0~v"}
    first = stage.publish().sessions[0]
    assert (first.served_as, first.pool, stage.shown("p")) == ("s0", "p", "s0,s1 on b0,b1")
    stage.loaded["b1"] = {"s0", "s1", "s0~v"}
    first = stage.publish().sessions[0]
    assert (first.served_as, first.pool, stage.shown("p")) == ("s0~v", "p", "s0~v,s1 on b0,b1")


def test_rollout_serves_by_a_variant_at_once_where_nothing_else_does() -> None:
    stage = Stage()
    stage.aim(backend("b0", placement("s0~v", None)), backend("b1", placement("s0~v", None)))
    stage.loaded["b0"] = {"s0~v"}
    (routes,) = stage.publish().sessions
    assert (routes.served_as, [r.backend for r in routes.routes]) == ("s0~v", ["b0"])


def random_target(rng: random.Random) -> Target:
    """Each backend is in one of two pools, local, or unused; sessions are drawn a pool."""
    names = rng.sample(SESSIONS, 3)
    cut = rng.randrange(4)
    sessions = {"p": names[:cut], "q": names[cut:]}
    plans = []
    for name in BACKENDS:
        kind = rng.choice(("p", "q", "local", "none"))
        if kind == "local":
            plans.append(backend(name, placement(rng.choice(SESSIONS), None)))
        elif kind != "none" and sessions[kind]:
            spare = rng.random() < 0.2
            pooled = (placement(session, kind, spare=spare) for session in sessions[kind])
            plans.append(backend(name, *pooled))
    return Target(backends=tuple(plans))


def check(stage: Stage, step: Rollout) -> None:
    statuses = {status.backend: status for status in stage.statuses()}
    homes = [session.session for pool in step.pools for session in pool.sessions]
    assert len(homes) == len(set(homes)), "a session in two pools"
    for pool in step.pools:
        assert pool.members, "a pool without members"
        assert pool.sessions, "a pool without sessions"
        for member in pool.members:
            loaded = statuses[member.backend].loaded
            assert {s.session for s in pool.sessions} <= set(loaded), "routed before loaded"
    named = {r.session: r.pool for r in step.sessions if r.pool is not None}
    assert named == {s.session: pool.name for pool in step.pools for s in pool.sessions}
    for plan in step.backends:
        memory = {entry.model: entry.memory_bytes for entry in plan.placements}
        assert not stage.memory_bytes or sum(memory.values()) <= stage.memory_bytes


@given(seed=st.integers(0, 100_000), memory_bytes=st.sampled_from((0, 18)))
def test_pool_rollout_is_safe_at_every_step_and_arrives(seed: int, memory_bytes: int) -> None:
    rng = random.Random(seed)
    stage = Stage(memory_bytes)
    tables: dict[int, set[tuple[str, str]]] = {0: set()}
    for _ in range(4):
        stage.target = random_target(rng)
        for _ in range(rng.randrange(1, 6)):
            step = stage.publish()
            check(stage, step)
            tables[stage.published.table_version] = spots_of(step.sessions, step.pools)
            listed = {(b.backend, p.session) for b in step.backends for p in b.placements}
            assert tables[stage.seen] & live_spots(stage) <= listed, "unloaded while in use"
            act(stage, rng)
            for version, spots in tables.items():  # Connections to the dead are gone.
                tables[version] = {spot for spot in spots if spot[0] not in stage.dead}
    stage.dead.clear()
    step = stage.settle()
    check(stage, step)
    assert_arrived(stage, step)


def served_by(target: Target) -> set[str]:
    """The sessions with a place in it, spares aside: nothing waits for those."""
    return {p.session for plan in target.backends for p in plan.placements if not p.spare}


def load_one(stage: Stage, rng: random.Random) -> None:
    """One backend loads one more model that it is asked for, or unloads all that it is not."""
    plan = rng.choice(stage.published.backends)
    asked = {entry.session for entry in plan.placements}
    loaded = stage.loaded[plan.backend]
    missing = sorted(asked - loaded)
    stage.loaded[plan.backend] = loaded | {rng.choice(missing)} if missing else loaded & asked


@given(seed=st.integers(0, 100_000))
def test_pool_rollout_routes_whoever_old_and_new_plan_serve_at_every_step(seed: int) -> None:
    rng = random.Random(seed)
    stage = Stage()
    stage.target = random_target(rng)
    both = served_by(stage.target)
    stage.settle()
    stage.target = random_target(rng)
    both &= served_by(stage.target)
    for _ in range(25):
        step = stage.publish()
        check(stage, step)
        routed = {session for _, session in spots_of(step.sessions, step.pools)}
        assert both <= routed, "routed nowhere"
        if stage.published.backends:
            load_one(stage, rng)
        if rng.random() < 0.5:
            stage.seen = stage.published.table_version
    assert_arrived(stage, stage.settle())


def assert_arrived(stage: Stage, step: Rollout) -> None:
    """The table and the plan are the target's."""
    arrived = {
        (b.backend, p.session)
        for b in stage.target.backends
        for p in b.placements
        if p.pool is not None or not p.spare
    }
    assert spots_of(step.sessions, step.pools) == arrived
    assert {b.backend: b.placements for b in step.backends} == {
        b.backend: b.placements for b in stage.target.backends
    }


def live_spots(stage: Stage) -> set[tuple[str, str]]:
    return {(status.backend, session) for status in stage.statuses() for session in status.loaded}


def act(stage: Stage, rng: random.Random) -> None:
    """Some backends follow the plan, one may die, the frontend may take up the table."""
    asked = {plan.backend: plan.placements for plan in stage.published.backends}
    for name in BACKENDS:
        if name not in stage.dead and rng.random() < 0.5:
            stage.loaded[name] = {p.session for p in asked.get(name, ())}
    if rng.random() < 0.1:
        stage.dead = {rng.choice(BACKENDS)}
        for name in stage.dead:
            stage.loaded[name] = set()
    if rng.random() < 0.5:
        stage.seen = stage.published.table_version
