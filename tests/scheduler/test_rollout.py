"""Properties of the roll-out, whatever the cluster does meanwhile."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nexus.core.cluster import BackendState, BackendStatus, FrontendReport
from nexus.core.plan import BackendPlan, Placement
from nexus.scheduler.rollout import Published, Rollout, Target, roll_out

MEMORY_BYTES = 10
NAMES = ("b0", "b1", "b2")
SESSIONS = ("s0", "s1", "s2")


def placement(session: str) -> Placement:
    return Placement(
        session=session,
        model=session,
        slo_us=100_000,
        batch=4,
        rate=10.0,
        latency_us=10_000,
        memory_bytes=6,
    )


def backend_plan(name: str, sessions: list[str]) -> BackendPlan:
    return BackendPlan(
        backend=name,
        device="gpu",
        duty_cycle_us=50_000,
        occupancy=0.2 * len(sessions),
        placements=tuple(placement(session) for session in sessions),
    )


class Rehearsal:
    """Backends with room for one model each, two frontends that take their time."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.target = Target()
        self.published = Published()
        self.loaded: dict[str, set[str]] = {name: set() for name in NAMES}
        self.seen = [0, 0]
        self.tables: dict[int, set[tuple[str, str]]] = {0: set()}

    def statuses(self) -> list[BackendStatus]:
        return [
            BackendStatus(
                backend=name,
                incarnation=1,
                address=name,
                control_address=name,
                device="gpu",
                memory_bytes=MEMORY_BYTES,
                state=BackendState.SERVING,
                loaded=tuple(sorted(loaded)),
            )
            for name, loaded in self.loaded.items()
        ]

    def reports(self) -> list[FrontendReport]:
        return [
            FrontendReport(
                frontend=f"f{index}", incarnation=1, address="", at_us=0, table_version=version
            )
            for index, version in enumerate(self.seen)
        ]

    def roll(self) -> Rollout:
        return roll_out(self.target, self.published, self.statuses(), self.reports())

    def publish(self) -> Rollout:
        step = self.roll()
        newer = step.sessions != self.published.sessions
        version = self.published.table_version + newer
        self.published = Published(
            backends=step.backends,
            sessions=step.sessions,
            table_version=version,
            withdrawn=step.withdrawn,
        )
        self.tables[version] = {
            (route.backend, routes.session) for routes in step.sessions for route in routes.routes
        }
        return step

    def act(self, *, everyone: bool = False) -> None:
        """Some backends follow the plan, some frontends the table."""
        for plan in self.published.backends:
            if everyone or self.rng.random() < 0.5:
                self.loaded[plan.backend] = {entry.session for entry in plan.placements}
        unplanned = set(NAMES) - {plan.backend for plan in self.published.backends}
        for name in unplanned:
            self.loaded[name] = set()
        for index in range(len(self.seen)):
            if everyone or self.rng.random() < 0.5:
                self.seen[index] = self.published.table_version

    def retarget(self) -> None:
        """Another session, or none, for each backend."""
        chosen = {name: self.rng.choice((*SESSIONS, None)) for name in NAMES}
        self.target = Target(
            backends=tuple(backend_plan(n, [s]) for n, s in chosen.items() if s is not None)
        )


def check(rehearsal: Rehearsal, step: Rollout) -> None:
    statuses = {status.backend: status for status in rehearsal.statuses()}
    for routes in step.sessions:
        for route in routes.routes:
            status = statuses[route.backend]
            assert status.state is BackendState.SERVING, "routed to who does not serve"
            assert routes.session in status.loaded, "routed before loaded"
    listed = {(b.backend, p.session) for b in step.backends for p in b.placements}
    for version in rehearsal.seen:
        in_use = rehearsal.tables[version] & {
            (name, session) for name, loaded in rehearsal.loaded.items() for session in loaded
        }
        assert in_use <= listed, "unloaded while a frontend may still route there"
    for backend in step.backends:
        memory = {entry.model: entry.memory_bytes for entry in backend.placements}
        assert sum(memory.values()) <= MEMORY_BYTES, "more asked for than fits"


@given(seed=st.integers(0, 100_000))
def test_rollout_is_safe_at_every_step_and_arrives(seed: int) -> None:
    rehearsal = Rehearsal(random.Random(seed))
    for _ in range(4):
        rehearsal.retarget()
        for _ in range(rehearsal.rng.randrange(6)):
            check(rehearsal, rehearsal.publish())
            rehearsal.act()
    for _ in range(12):
        check(rehearsal, rehearsal.publish())
        rehearsal.act(everyone=True)
    arrived = {(b.backend, p.session) for b in rehearsal.target.backends for p in b.placements}
    assert rehearsal.tables[rehearsal.published.table_version] == arrived
    assert {b.backend: b.placements for b in rehearsal.published.backends} == {
        b.backend: b.placements for b in rehearsal.target.backends
    }


@given(seed=st.integers(0, 100_000))
def test_rollout_without_news_changes_nothing(seed: int) -> None:
    rehearsal = Rehearsal(random.Random(seed))
    rehearsal.retarget()
    for _ in range(3):
        rehearsal.publish()
        again = rehearsal.roll()
        assert again.backends == rehearsal.published.backends
        assert again.sessions == rehearsal.published.sessions
        assert again.withdrawn == rehearsal.published.withdrawn
        rehearsal.act()


def test_rollout_keeps_the_old_route_until_the_new_one_is_ready() -> None:
    rehearsal = Rehearsal(random.Random(0))
    rehearsal.target = Target(backends=(backend_plan("b0", ["s0"]),))
    for _ in range(3):
        rehearsal.publish()
        rehearsal.act(everyone=True)
    rehearsal.target = Target(backends=(backend_plan("b1", ["s0"]),))
    rehearsal.publish()
    assert rehearsal.tables[rehearsal.published.table_version] == {("b0", "s0")}
    assert [p.rate for b in rehearsal.published.backends for p in b.placements] == [0.0, 10.0]
    rehearsal.act(everyone=True)
    rehearsal.publish()
    assert rehearsal.tables[rehearsal.published.table_version] == {("b1", "s0")}


def test_rollout_does_not_route_to_a_draining_backend() -> None:
    rehearsal = Rehearsal(random.Random(0))
    rehearsal.target = Target(backends=(backend_plan("b0", ["s0"]),))
    rehearsal.loaded["b0"] = {"s0"}
    draining = [replace(s, state=BackendState.DRAINING) for s in rehearsal.statuses()]
    step = roll_out(rehearsal.target, Published(), draining, [])
    assert [routes.routes for routes in step.sessions] == [()]


def test_rollout_counts_what_a_prefix_group_shares_once_for_all_its_batch_sizes() -> None:
    # Twice 8 of 10 bytes: both batches hold the shared layers, which lie in memory once.
    members = {"s0": 2, "s1": 2, "s2": 4, "s3": 4}
    placements = tuple(
        replace(placement(name), batch=batch, group="prefix", memory_bytes=4)
        for name, batch in members.items()
    )
    target = Target(backends=(replace(backend_plan("b0", []), placements=placements),))
    step = roll_out(target, Published(), Rehearsal(random.Random(0)).statuses(), [])
    asked = {p.session for plan in step.backends for p in plan.placements}
    assert asked == set(members)
