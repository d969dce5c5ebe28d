"""Scenario files: what they mean, and that every mistake is named by file, line and key."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from nexus.core.errors import DocumentError, InvalidArgumentError
from nexus.core.profile import Profile
from nexus.core.query import Per
from nexus.scheduler.explain import plan_text
from nexus.scheduler.plan_scenario import plan_json, plan_scenario
from nexus.scheduler.scenario_file import parse_scenario, read_scenario
from nexus.scheduler.settings import POLICIES, policy

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.yaml"))
SCHEMA = json.loads((files("nexus.scheduler") / "scenario.schema.json").read_text())

WHOLE = """\
name: whole
seed: 7
duration_s: 2.5
devices:
  - {type: v100, count: 8, memory_mb: 16000, price: 1.5}
network: {delay_ms: 0.25, transfer_mbps: 1000}
models:
  - name: resnet50
    profiles:
      v100: {alpha_ms: 0.75, beta_ms: 7.96, max_batch: 64, memory_mb: 400}
  - name: vgg
    max_batch: 2
    profiles:
      v100: {latency_ms: [6.3, 14.5, 18.2, 20.6], memory_mb: 900, load_ms: 300}
  - name: face
    profiles:
      v100: {file: profiles/vgg_face.txt}
sessions:
  - {model: resnet50, slo_ms: 50, rate: 400}
  - {model: resnet50, slo_ms: 100, rate: 90, arrivals: {kind: bursty, cv: 3}}
queries:
  - name: traffic
    slo_ms: 400
    rate: 30
    stages:
      - {name: detect, model: vgg}
      - {name: car, model: resnet50, after: detect, fan_out: 2.5}
      - {name: fuse, model: face, after: [detect, car], per: frame}
frontends: 4
scheduler: {epoch_s: 20, min_epoch_s: 5, first_epoch_s: 1, headroom: 0.9}
policy: nexus
faults: [{at_s: 20, kind: kill, what: backend, index: 1}]
"""


def read_profile(path: Path, model: str, device: str) -> Profile:
    assert path == Path("folder/profiles/vgg_face.txt")
    return Profile(model=model, device=device, latencies_us=(9_000,))


def test_scenario_means_what_it_says() -> None:
    scenario = parse_scenario(WHOLE, "f.yaml", Path("folder"), read_profile)
    (device,) = scenario.devices
    assert (device.count, device.memory_bytes, device.price) == (8, 16_000_000_000, 1.5)
    resnet, vgg, face = scenario.models
    assert resnet.profiles["v100"].latency_us(10) == 15_460
    assert vgg.profiles["v100"].latencies_us == (6_300, 14_500, 18_200, 20_600)
    assert (vgg.max_batch, vgg.profiles["v100"].load_us) == (2, 300_000)
    assert face.profiles["v100"].latencies_us == (9_000,)
    assert [entry.session.name for entry in scenario.sessions] == [
        "resnet50@50ms",
        "resnet50@100ms",
    ]
    assert scenario.sessions[1].arrivals.parameters == {"cv": 3}
    (query,) = scenario.queries
    assert query.query.stage("fuse").per is Per.FRAME
    assert query.query.stage("car").fan_out == 2.5
    assert scenario.duration_us == 2_500_000
    assert scenario.epochs.epoch_min_us == 5_000_000
    settings = scenario.planner_settings(policy("nexus"))
    assert (settings.headroom, settings.network_us) == (0.9, 500)
    assert scenario.faults[0].at_us == 20_000_000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "slo_ms: 50,",
            "slo_ms: -50,",
            "f.yaml:19: sessions[0].slo_ms: -50 must be greater than 0",
        ),
        ("rate: 400", "rate: lots", "f.yaml:19: sessions[0].rate: expected a number, got 'lots'"),
        ("rate: 400", "rate: .nan", "f.yaml:19: sessions[0].rate: expected a number, got '.nan'"),
        ("rate: 400", "speed: 4", "f.yaml:19: sessions[0].speed: unknown key; the keys are name,"),
        ("{model: resnet50, slo_ms: 50,", "{model: gone, slo_ms: 50,", "no model 'gone'; the mod"),
        (", slo_ms: 50,", ",", "f.yaml:19: sessions[0]: key 'slo_ms' is missing"),
        (
            "slo_ms: 100,",
            "slo_ms: 50,",
            "f.yaml:20: sessions[1]: 'resnet50@50ms' is declared twice",
        ),
        ("cv: 3", "cv: 0", "f.yaml:20: sessions[1].arrivals.cv: 0 must be greater than 0"),
        ("kind: bursty", "kind: odd", "sessions[1].arrivals.kind: 'odd' is not one of uniform,"),
        ("after: detect,", "after: ghost,", "stage 'car' is after 'ghost', which is not a stage"),
        ("- {name: detect,", "- {name: detect, after: fuse,", "cyclic"),
        ("[6.3, 14.5,", "[6.3, 0,", "f.yaml:14: models[1].profiles.v100.latency_ms[1]: 0 must be"),
        ("{alpha_ms: 0.75,", "{", "expected exactly one of latency_ms and alpha_ms"),
        ("count: 8", "count: 8.5", "f.yaml:5: devices[0].count: expected a whole number, got 8.5"),
        ("seed: 7", "seed: 7\nseed: 8", "f.yaml:3: seed: the key is given twice"),
        ("headroom: 0.9", "headroom: 1.9", "scheduler.headroom: 1.9 must be greater than 0 and at"),
        ("name: whole", "name:", "f.yaml:1: name: expected text, got nothing"),
        ("name: whole", "name: [", "not YAML"),
        ("devices:", "sets:", "f.yaml:4: sets: unknown key"),
    ],
)
def test_scenario_mistake_is_named_by_file_line_and_key(old: str, new: str, message: str) -> None:
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    with pytest.raises(DocumentError) as caught:
        parse_scenario(text, "f.yaml", Path("folder"), read_profile)
    assert message in caught.value.message
    assert caught.value.message.startswith("f.yaml:")


def test_scenario_profile_file_error_names_the_line_that_asked_for_it() -> None:
    def broken(path: Path, model: str, device: str) -> Profile:
        raise DocumentError(f"{path}:3: not a row ({model} on {device})")

    with pytest.raises(DocumentError, match=r"f\.yaml:17: .*file: folder.*:3: not a row"):
        parse_scenario(WHOLE, "f.yaml", Path("folder"), broken)


def test_scenario_with_expanding_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(DocumentError, match="more than 200000 values"):
        parse_scenario("\n".join(lines))


def test_scenario_that_is_not_there_is_an_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        read_scenario(tmp_path / "none.yaml")


def test_scenario_unknown_policy_names_the_known_ones() -> None:
    scenario = read_scenario(EXAMPLES[0])
    with pytest.raises(
        InvalidArgumentError, match=r"policy 'best' is not known; .*default, .*nexus"
    ):
        plan_scenario(scenario, "best")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_scenario_example_fits_the_schema(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_scenario_example_is_planned_and_explained(path: Path, name: str) -> None:
    result = plan_scenario(read_scenario(path), name)
    data = json.loads(json.dumps(plan_json(result)))
    assert sum(data["devices"].values()) == len(data["backends"])
    text = plan_text(result)
    for backend in data["backends"]:
        assert backend["occupancy"] <= 1
        for session in backend["sessions"]:
            assert f"{session['session']} on {backend['device']}: batch " in text


def test_scenario_schema_itself_is_valid_and_refuses_an_unknown_key() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(yaml.safe_load(WHOLE), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(WHOLE.replace("seed: 7", "sead: 7")), SCHEMA)


def test_scenario_plan_prints_the_contract() -> None:
    scenario = parse_scenario(
        "name: t\ndevices: [{type: v100}]\n"
        "models: [{name: r, profiles: {v100: {alpha_ms: 1, beta_ms: 9, memory_mb: 400}}}]\n"
        "sessions: [{model: r, slo_ms: 100, rate: 500}, {model: r, slo_ms: 5, rate: 1}]\n"
    )
    assert plan_json(plan_scenario(scenario, "nexus")) == {
        "devices": {"v100": 1},
        "lower_bound": {"v100": 0.57},
        "infeasible": [{"session": "r@5ms", "reason": "l(1) = 10 ms, 2 l(1) > 5 ms"}],
        "unmet": {},
        "splits": {},
        "backends": [
            {
                "device": "v100",
                "duty_cycle_ms": 60.0,
                "occupancy": 0.65,
                "memory_mb": 400.0,
                "sessions": [
                    {
                        "session": "r@100ms",
                        "batch": 30,
                        "rate": 500,
                        "latency_ms": 39.0,
                        "pool": None,
                    }
                ],
            }
        ],
    }
