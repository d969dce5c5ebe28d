"""The command line itself: help, exit codes, one clear line of error, light imports."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nexus.cli.main import COMMANDS, EXTRAS, SERVERS, main
from nexus.profiler.measurement import BatchRow, Measurement
from nexus.profiler.text_format import write_profile

GOLDEN_HELP = Path(__file__).with_name("help.txt")

SCENARIO = """
name: two
devices: [{type: v100, count: 4}]
models:
  - {name: resnet50, profiles: {v100: {alpha_ms: 0.75, beta_ms: 7.96, max_batch: 64}}}
  - {name: vgg, profiles: {v100: {file: vgg.txt}}}
sessions:
  - {model: resnet50, slo_ms: 50, rate: 400}
  - {model: resnet50, slo_ms: 5, rate: 1}
queries:
  - name: traffic
    slo_ms: 400
    rate: 30
    stages: [{name: detect, model: vgg}, {name: car, model: resnet50, after: detect, fan_out: 2}]
"""
VGG = Measurement(
    model="vgg",
    device="v100",
    rows=tuple(
        BatchRow(
            batch=batch,
            p50_us=latency_us,
            p95_us=latency_us,
            p99_us=latency_us,
            std_us=10,
            memory_bytes=900_000_000,
            repeats=20,
        )
        for batch, latency_us in enumerate((6_300, 14_500, 18_200, 20_600), start=1)
    ),
)


def test_main_help_is_the_golden_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == GOLDEN_HELP.read_text()


@pytest.mark.parametrize("command", [*COMMANDS, *SERVERS])
def test_main_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"nexus {command}" in capsys.readouterr().out.partition("example:")[2]


def test_main_help_imports_no_heavy_package() -> None:
    program = (
        "import sys\nfrom nexus.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(*sorted(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout
    loaded = printed.splitlines()[-1].split()
    assert {"torch", "numpy", "redis", "grpc", "yaml", "rich", "asyncio"}.isdisjoint(loaded)


@pytest.mark.parametrize("command", ["apply", "infer", "query", "health", "get", "up"])
def test_main_base_install_is_enough_for_client_commands(command: str) -> None:
    module = f"nexus.cli.commands.{command}"
    program = f"import sys, {module}\nprint(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout.split()
    extras = {"torch", "redis", "kubernetes", "numpy", "PIL", "rich", "prometheus_client", "av"}
    assert extras.isdisjoint(loaded)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["--fly"],
        ["get"],
        ["get", "pod"],
        ["up", "--devices", "tpu"],
        ["up", "--frontends", "0"],
        ["demo", "street", "--seconds", "0"],
    ],
)
def test_main_malformed_command_line_is_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(words)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "error:" in printed.err


def test_main_no_cluster_is_one_line_that_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", "model", "--cluster-dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("nexus: error: no cluster is running here")
    assert "nexus up" in error
    assert error.count("\n") == 1


def test_main_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["demo", "street"]) == 1
    assert "pip install 'nexus-serving[video]'" in capsys.readouterr().err


def test_main_extras_name_extras_that_exist() -> None:
    tomllib = importlib.import_module("tomllib")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    known = set(project["project"]["optional-dependencies"])
    assert {extra for extra in EXTRAS.values() if extra} <= known


def test_main_reader_that_goes_away_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "nexus.cli.main", "plan", "-f", "/dev/stdin", "--json"],
        input=SCENARIO.replace("{file: vgg.txt}", "{latency_ms: [6.3]}").encode(),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    write_profile(VGG, tmp_path / "vgg.txt")
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    return path


def test_plan_json_has_the_contracts_keys(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-f", str(scenario), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {"devices", "lower_bound", "infeasible", "splits", "backends"} <= set(plan)
    assert plan.keys() >= {"unmet", "unmet_reasons", "replanning"}
    assert plan["devices"].keys() == {"v100"}
    assert {"session", "reason"} <= plan["infeasible"][0].keys() <= {"session", "reason", "hint"}
    assert plan["infeasible"][0]["session"] == "resnet50@5ms"
    assert plan["splits"]["traffic"].keys() == {"detect", "car"}
    backend = plan["backends"][0]
    assert backend.keys() == {"device", "duty_cycle_ms", "occupancy", "memory_mb", "sessions"}
    contract = {"session", "batch", "rate", "latency_ms", "pool"}
    assert contract <= backend["sessions"][0].keys() <= contract | {"model"}


def test_plan_text_says_why_and_policies_differ(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-f", str(scenario)]) == 0
    default = capsys.readouterr().out
    assert "resnet50@5ms" in default
    assert "why" in default
    assert main(["plan", "-f", str(scenario), "--policy", "nexus"]) == 0
    assert capsys.readouterr().out != default


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("rate: 400", "rate: -1"), ["scenario.yaml:8", "rate"]),
        (("file: vgg.txt", "file: absent.txt"), ["scenario.yaml:6", "absent.txt"]),
        (("name: two", "name: two\nnovelty: 1"), ["scenario.yaml:", "novelty"]),
    ],
)
def test_plan_malformed_scenario_names_file_line_and_key(
    scenario: Path,
    change: tuple[str, str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    scenario.write_text(SCENARIO.replace(*change))
    assert main(["plan", "-f", str(scenario)]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error


def test_plan_unknown_policy_is_a_usage_error(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-f", str(scenario), "--policy", "magic"]) == 2
    assert "magic" in capsys.readouterr().err


def test_plan_plot_writes_a_picture(scenario: Path, tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    assert main(["plan", "-f", str(scenario), "--plot", str(picture)]) == 0
    assert "traffic/detect" in picture.read_text()


def test_plan_plot_to_nowhere_is_an_error_not_a_traceback(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-f", str(scenario), "--plot", str(tmp_path / "no" / "plan.svg")]) == 1
    assert "cannot write" in capsys.readouterr().err
