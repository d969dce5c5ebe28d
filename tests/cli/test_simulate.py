"""``nexus simulate``: the contract of its JSON, its table, and how it refuses what is malformed."""

import json
from pathlib import Path

import pytest

from nexus.cli.main import main

SCENARIO = """\
name: small
seed: 7
duration_s: 3
devices: [{type: v100, count: 3}]
models:
  - {name: resnet50, profiles: {v100: {alpha_ms: 2, beta_ms: 10, load_ms: 100}}}
  - {name: ssd, profiles: {v100: {alpha_ms: 8, beta_ms: 20, load_ms: 100}}}
sessions: [{model: resnet50, slo_ms: 200, rate: 40}]
queries:
  - name: traffic
    slo_ms: 900
    rate: 8
    stages:
      - {name: detect, model: ssd}
      - {name: car, model: resnet50, after: detect, fan_out_values: [0, 2]}
policy: nexus
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def test_simulate_prints_the_contract(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "-f", str(scenario), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["seed"] == 7
    assert data["simulated_s"] == 3.0
    assert data["requests"] == sum(e["offered"] for e in data["sessions"] + data["queries"])
    assert 0 < data["lower_bound"] < data["devices_used"] < 3
    (session,) = data["sessions"]
    assert session["session"] == "resnet50@200ms"
    ends = session["good"] + session["late"] + session["failed"] + sum(session["dropped"].values())
    assert ends == session["offered"] == pytest.approx(120, rel=0.4)
    assert session["mean_batch"] >= 1
    assert 12 <= session["p50_ms"] <= session["p99_ms"] <= 200
    (query,) = data["queries"]
    assert query["query"] == "traffic"
    assert query["mean_batch"].keys() == {"detect", "car"}
    assert query["p99_ms"] <= 900


def test_simulate_is_the_same_for_a_seed_and_not_for_another(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(seed: str) -> object:
        assert main(["simulate", "-f", str(scenario), "--json", "--seed", seed]) == 0
        return {**json.loads(capsys.readouterr().out), "wall_s": 0}

    assert run("1") == run("1") != run("2")


def test_simulate_table_and_picture_are_for_people(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "run.svg"
    assert main(["simulate", "-f", str(scenario), "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split()[:3] == ["SESSION", "OFFERED", "GOOD"]
    assert "lower bound" in printed
    assert picture.read_text().startswith("<svg")


def test_simulate_runs_a_baseline_by_name(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "-f", str(scenario), "--policy", "clipper", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == "clipper"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rate: 40", "rate: many", "small.yaml:8: sessions[0].rate: expected a number"),
        (", count: 3", "", "small.yaml:4: devices[0]: key 'count' is missing"),
        ("policy: nexus", "policy: best", "policy 'best' is not known; the policies are default"),
    ],
)
def test_simulate_malformed_scenario_is_exit_code_2(
    scenario: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    scenario.write_text(SCENARIO.replace(old, new))
    assert main(["simulate", "-f", str(scenario)]) == 2
    assert message in capsys.readouterr().err


def test_simulate_refuses_a_seed_that_is_none(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "-f", str(scenario), "--seed", "-1"]) == 2
    assert "--seed -1" in capsys.readouterr().err
