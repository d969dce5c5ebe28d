"""The search finds where the promise ends, and says so when it never holds."""

from dataclasses import dataclass, field

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.errors import InfeasibleError
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioSession
from nexus.simulator.ledger import Account
from nexus.simulator.rate_search import FACTOR_MAX, search_rate
from nexus.simulator.report import SimulationReport

SCENARIO = Scenario(
    name="search",
    devices=(DeviceSpec(type="v100", count=1),),
    models=(),
    sessions=(
        ScenarioSession(
            session=Session(model="m", slo_us=50_000, expected_rate=100),
            rate=100,
            arrivals=Arrivals(kind="trace", parameters={"times_s": [1.0], "speed": 2.0}),
        ),
    ),
    duration_us=30 * US_PER_S,
)


@dataclass
class Oracle:
    """Keeps the promise up to ``capacity`` requests/s; remembers what it was asked."""

    capacity: float
    asked: list[Scenario] = field(default_factory=list)

    def __call__(self, scenario: Scenario) -> SimulationReport:
        self.asked.append(scenario)
        account = Account()
        account.sent_at_us.extend(range(100))
        account.good = 100 if scenario.sessions[0].rate <= self.capacity else 98
        return SimulationReport(
            scenario="search",
            policy="oracle",
            seed=0,
            simulated_us=scenario.duration_us,
            sessions={"m@50ms": account},
            queries={},
            batches={},
            devices=[],
            lower_bound={},
        )


@pytest.mark.parametrize("capacity", [3.0, 95.0, 100.0, 1_234.0])
def test_rate_search_finds_the_capacity_within_a_percent(capacity: float) -> None:
    found = search_rate(SCENARIO, Oracle(capacity))
    assert capacity / 1.01 <= found.factor * 100 <= capacity
    assert found.report.simulated_us == SCENARIO.duration_us, "a whole run decides"
    assert found.report.worst >= 0.99


def test_rate_search_looks_for_the_neighbourhood_with_short_runs() -> None:
    oracle = Oracle(777.0)
    search_rate(SCENARIO, oracle)
    whole = [s for s in oracle.asked if s.duration_us == SCENARIO.duration_us]
    assert 1 <= len(whole) <= 6


def test_rate_search_scales_what_is_declared_and_plays_traces_faster() -> None:
    oracle = Oracle(100.0)
    search_rate(SCENARIO, oracle)
    (doubled,) = [s for s in oracle.asked if s.sessions[0].rate == 200]
    assert doubled.sessions[0].session.expected_rate == 200
    assert doubled.sessions[0].arrivals.parameters["speed"] == 4.0


def test_rate_search_says_when_no_factor_holds() -> None:
    with pytest.raises(InfeasibleError, match="at no factor"):
        search_rate(SCENARIO, Oracle(0.0))


def test_rate_search_stops_where_nothing_fails() -> None:
    assert search_rate(SCENARIO, Oracle(1e12)).factor >= FACTOR_MAX / 4
