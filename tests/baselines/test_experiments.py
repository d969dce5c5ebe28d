"""The paper's experiments: their scenarios, the files of them, and one comparison of each shape."""

from dataclasses import replace
from pathlib import Path

import pytest

from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import parse_scenario
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, compare
from nexus.simulator.experiments.game import GAMES, game
from nexus.simulator.experiments.mixed_apps import APPLICATIONS, MODELS, mixed_apps
from nexus.simulator.experiments.one_device import prefix_rows
from nexus.simulator.experiments.paper_files import paper_files, paper_scenarios
from nexus.simulator.experiments.published import V100, V100_MS, scaled_to, zipf
from nexus.simulator.experiments.query_analysis import (
    BEST_SPLIT,
    query_analysis,
    query_analysis_rows,
    useful_splits,
)
from nexus.simulator.experiments.sixteen_sessions import sixteen_sessions_scenarios

FOLDER = Path("examples/scenarios/paper")
SHORT = ExperimentSettings(seconds=6.0, warmup_us=1_000_000)


@pytest.mark.parametrize("name", paper_scenarios())
def test_experiments_files_are_the_generated_ones(name: str) -> None:
    assert (FOLDER / name).read_text() == paper_files()[name]


@pytest.mark.parametrize("name", paper_scenarios())
def test_experiments_files_read_back_as_the_scenario(name: str) -> None:
    scenario, _ = paper_scenarios()[name]
    asked = {entry.session.model for entry in scenario.sessions}
    asked |= {stage.model for entry in scenario.queries for stage in entry.query.stages}
    written = replace(scenario, models=tuple(m for m in scenario.models if m.name in asked))
    read = parse_scenario((FOLDER / name).read_text(), name)
    assert read.models == written.models
    assert read.sessions == written.sessions
    assert read.queries == written.queries
    assert read.devices == written.devices


def test_experiments_zipf_shares_sum_to_one_and_fall() -> None:
    shares = zipf(20, 0.9)
    assert sum(shares) == pytest.approx(1.0)
    assert list(shares) == sorted(shares, reverse=True)


def test_experiments_scaled_profiles_keep_their_shape() -> None:
    alpha_ms, beta_ms = scaled_to(47.0, V100_MS["r-cnn"])
    assert alpha_ms + beta_ms == pytest.approx(47.0, abs=0.01)
    assert alpha_ms / beta_ms == pytest.approx(2.59 / 14.9, rel=0.01)


def test_experiments_mixed_apps_are_seven_with_twelve_models() -> None:
    assert (len(APPLICATIONS), len(MODELS)) == (7, 12)
    used = {s.model for entry in mixed_apps().queries for s in entry.query.stages}
    assert used == set(MODELS)


def test_experiments_game_has_two_prefix_groups() -> None:
    scenario = game()
    names = {model.name for model in scenario.models}
    assert len(scenario.queries) == GAMES
    assert len(names) == 2 * GAMES
    assert {profile.model for profile in scenario.prefix_profiles()} == {
        "resnet-group",
        "lenet-group",
    }


def test_experiments_sixteen_sessions_are_sixteen() -> None:
    for scenario in sixteen_sessions_scenarios().values():
        assert len({entry.session.model for entry in scenario.sessions}) == 16


def test_experiments_prefix_batching_doubles_ten_variants() -> None:
    rows = prefix_rows(SHORT, counts=(10,))
    assert [row.policy for row in rows] == ["nexus-paper-without-prefix", "nexus-paper"]
    assert rows[0].ratio == 1.0
    assert rows[1].ratio > 1.8
    assert rows[1].paper == pytest.approx(490 / 220)


def test_experiments_query_analysis_pays_where_the_slo_is_tight() -> None:
    rows = query_analysis_rows(SHORT, fan_outs=(1.0,), slos_ms=(300.0,))
    assert rows[1].ratio > 1.13


def test_experiments_query_analysis_leaves_no_useful_split_untried() -> None:
    scenario = query_analysis(1.0, 300.0)
    splits = [split["detect-classify"] for split in useful_splits(scenario)]
    ssd = scenario.models[0].profiles["1080ti"]
    assert [split["detect"] for split in splits] == [2 * ssd.latency_us(b) for b in range(1, 6)]
    assert all(sum(split.values()) == 300_000 for split in splits)


def test_experiments_best_split_is_no_worse_than_the_analysed_one() -> None:
    rows = query_analysis_rows(
        SHORT, ("nexus-paper", BEST_SPLIT), fan_outs=(0.1,), slos_ms=(400.0,)
    )
    analysed, best = rows
    assert best.goodput >= 0.99 * analysed.goodput
    assert best.paper is None


@pytest.mark.full
def test_experiments_squishy_packing_beats_the_oblivious_allotment() -> None:
    def ratio(name: str, scenario: Scenario) -> float:
        case = Case(name=name, scenario=scenario)
        settings = ExperimentSettings(seconds=10.0, warmup_us=2_000_000)
        rows = compare("sixteen", [case], ("nexus-paper",), settings, against="batch-oblivious")
        return rows[0].ratio

    ratios = {name: ratio(name, s) for name, s in sixteen_sessions_scenarios().items()}
    zipfs = [value for name, value in ratios.items() if name.startswith("Zipf")]
    mixed = [value for name, value in ratios.items() if name.startswith("mixed")]
    assert sum(zipfs) / len(zipfs) >= 1.5
    assert sum(mixed) / len(mixed) >= 1.1


def test_experiments_a_policy_that_never_keeps_its_promise_has_no_goodput() -> None:
    scenario = sixteen_sessions_scenarios()["mixed SLO, resnet50"]
    entry = scenario.sessions[0]
    hopeless = replace(
        scenario,
        sessions=(replace(entry, session=replace(entry.session, slo_us=1_000)),),
    )
    rows = compare(
        "hopeless",
        [Case(name=V100, scenario=hopeless)],
        ("symphony",),
        SHORT,
        against="symphony",
    )
    assert (rows[0].goodput, rows[0].ratio, rows[0].share) == (0.0, 0.0, 0.0)
