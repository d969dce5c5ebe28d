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
from nexus.scheduler.scenario import (
    DeviceBehaviour,
    FanOut,
    FaultKind,
    NodeKind,
    NodeReference,
)
from nexus.scheduler.scenario_file import parse_scenario, read_scenario
from nexus.scheduler.settings import POLICIES, policy

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.yaml"))
SCHEMA = json.loads((files("nexus.scheduler") / "scenario.schema.json").read_text())

WHOLE = """\
name: whole
seed: 7
duration_s: 2.5
devices:
  - {type: v100, count: 8, memory_mb: 16000, price: 1.5, jitter: 0.02, load_ms: 700}
network: {delay_ms: 0.25, jitter_ms: 0.1, transfer_mbps: 1000, loss: 0.001, reset: 0.0001}
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
  - {model: vgg, slo_ms: 80, rate: 5, payload_kb: 12, arrivals: {kind: diurnal, period_s: 60}}
queries:
  - name: traffic
    slo_ms: 400
    rate: 30
    stages:
      - {name: detect, model: vgg}
      - {name: car, model: resnet50, after: detect, fan_out: 2.5, fan_out_kind: fixed}
      - {name: fuse, model: face, after: [detect, car], per: frame}
frontends: 4
scheduler: {epoch_s: 20, min_epoch_s: 5, first_epoch_s: 1, headroom: 0.9}
policy: nexus
schedulers: 2
faults:
  - {at_s: 20, kind: kill, what: backend, index: 1}
  - {at_s: 1, kind: partition, what: frontend, index: [0, 3], from: [store, "backend:7"], for_s: 2}
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
        "vgg@80ms",
    ]
    assert scenario.sessions[1].arrivals.parameters == {"cv": 3}
    (query,) = scenario.queries
    assert query.query.stage("fuse").per is Per.FRAME
    assert query.query.stage("car").fan_out == 2.5
    assert scenario.duration_us == 2_500_000
    assert scenario.epochs.epoch_min_us == 5_000_000
    settings = scenario.planner_settings(policy("nexus"))
    assert (settings.headroom, settings.network_us) == (0.9, 700)


def test_scenario_says_how_the_simulated_world_behaves() -> None:
    scenario = parse_scenario(WHOLE, "f.yaml", Path("folder"), read_profile)
    network = scenario.network
    assert (network.jitter_us, network.loss, network.reset) == (100, 0.001, 0.0001)
    assert network.retransmit_us == 200_000
    assert scenario.behaviours == {"v100": DeviceBehaviour(jitter=0.02, load_us=700_000)}
    assert scenario.sessions[2].payload_bytes == 12_000
    assert scenario.sessions[2].arrivals.parameters == {"period_s": 60}
    assert scenario.queries[0].fan_outs == {"car": FanOut(kind="fixed")}
    assert scenario.schedulers == 2
    killed, parted = scenario.faults
    assert (killed.at_us, killed.kind, killed.for_us) == (20_000_000, FaultKind.KILL, None)
    assert killed.nodes == (NodeReference(NodeKind.BACKEND, 1),)
    assert parted.nodes == (
        NodeReference(NodeKind.FRONTEND, 0),
        NodeReference(NodeKind.FRONTEND, 3),
    )
    assert parted.apart_from == (
        NodeReference(NodeKind.STORE),
        NodeReference(NodeKind.BACKEND, 7),
    )


def test_scenario_trace_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("0.5\n1.5\n")
    text = WHOLE.replace("kind: diurnal, period_s: 60", "kind: trace, file: times.txt, speed: 2")
    text = text.replace("{file: profiles/vgg_face.txt}", "{latency_ms: [9]}")
    (scenario,) = (parse_scenario(text, "f.yaml", tmp_path),)
    assert scenario.sessions[2].arrivals.parameters == {"times_s": [0.5, 1.5], "speed": 2.0}
    (tmp_path / "times.txt").write_text("0.5\nnoon\n")
    with pytest.raises(DocumentError, match=r"f\.yaml:21: .*time 2, 'noon', is not a number"):
        parse_scenario(text, "f.yaml", tmp_path)


def test_scenario_scaled_offers_and_declares_more() -> None:
    scenario = parse_scenario(WHOLE, "f.yaml", Path("folder"), read_profile).scaled(2.0)
    assert (scenario.sessions[0].rate, scenario.sessions[0].session.expected_rate) == (800, 800)
    assert (scenario.queries[0].rate, scenario.queries[0].query.expected_rate) == (60, 60)


def test_scenario_to_simulate_needs_every_count() -> None:
    text = WHOLE.replace("count: 8, ", "")
    text = text.replace(', "backend:7"', "").replace("what: backend", "what: frontend")
    assert parse_scenario(text, "f.yaml", Path("folder"), read_profile).devices[0].count is None
    with pytest.raises(DocumentError, match=r"f\.yaml:5: devices\[0\]: key 'count' is missing"):
        parse_scenario(text, "f.yaml", Path("folder"), read_profile, counted=True)


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
        ("loss: 0.001", "loss: 0.9", "f.yaml:6: network.loss: 0.9 must be at least 0 and at most"),
        ("fan_out_kind: fixed", "fan_out_kind: odd", "'odd' is not one of poisson, fixed"),
        ("fan_out_kind: fixed", "fan_out_values: []", "fan_out_values: give at least one value"),
        (
            "kind: diurnal, ",
            "kind: step, ",
            "f.yaml:21: sessions[2].arrivals.period_s: unknown key",
        ),
        ("kind: diurnal, period_s: 60", "kind: trace", "exactly one of times_s and file"),
        ("kind: kill", "kind: explode", "faults[0].kind: 'explode' is not one of kill, stall,"),
        ("kind: kill", "kind: stall", "faults[0]: a stall needs 'for_s'"),
        ("index: 1}", "index: 8}", "faults[0].index: there is no backend number 8: they are 0..7"),
        ("index: 1}", "index: 1, from: store}", "faults[0].from: only a partition is from others"),
        ('"backend:7"', "moon", "faults[1].from[1]: 'moon' is not KIND or KIND:NUMBER"),
        ("index: [0, 3]", "index: [0, 4]", "faults[1].index[1]: there is no frontend number 4"),
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
        "infeasible": [
            {
                "session": "r@5ms",
                "reason": "l(1) = 10 ms, 2 l(1) > 5 ms",
                "hint": "an SLO of 20 ms would do",
            }
        ],
        "unmet": {},
        "unmet_reasons": {},
        "replanning": "no plan was in force: planned afresh",
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
                        "model": "r",
                        "batch": 30,
                        "rate": 500,
                        "latency_ms": 39.0,
                        "pool": None,
                    }
                ],
            }
        ],
    }


def test_scenario_plan_names_the_variant_that_serves_a_session() -> None:
    scenario = parse_scenario(
        "name: t\ndevices: [{type: v100, count: 1}]\n"
        "models:\n"
        "  - {name: big, profiles: {v100: {alpha_ms: 2, beta_ms: 9}}}\n"
        "  - {name: small, profiles: {v100: {alpha_ms: 1, beta_ms: 5}}}\n"
        "sessions: [{model: big, slo_ms: 100, rate: 600, variants: [small]}]\n"
    )
    printed = json.loads(json.dumps(plan_json(plan_scenario(scenario))))
    (session,) = printed["backends"][0]["sessions"]
    assert (session["session"], session["model"]) == ("big@100ms", "small")


def test_scenario_plan_says_why_rate_is_not_covered() -> None:
    text = (
        "name: t\ndevices: [{type: v100, count: 2}]\n"
        "models: [{name: r, profiles: {v100: {alpha_ms: 1, beta_ms: 9}}}]\n"
        "sessions: [{model: r, slo_ms: 100, rate: 3000, replicas_max: 1}]\n"
    )
    limited = plan_scenario(parse_scenario(text))
    reason = plan_json(limited)["unmet_reasons"]
    assert isinstance(reason, dict)
    assert reason["r@100ms"].startswith("replicas_max 1: ")
    assert reason["r@100ms"] in plan_text(limited)
    short = plan_scenario(parse_scenario(text.replace(", replicas_max: 1", "")))
    assert short.plan.unmet
    assert "/s (for want of devices)" in plan_text(short)


def test_scenario_plan_says_what_would_help_by_any_policy() -> None:
    scenario = parse_scenario(
        "name: t\ndevices: [{type: v100}]\n"
        "models: [{name: r, profiles: {v100: {alpha_ms: 1, beta_ms: 9}}}]\n"
        "sessions: [{model: r, slo_ms: 5, rate: 1}]\n"
    )
    for name in POLICIES:
        (entry,) = plan_scenario(scenario, name).plan.infeasible
        assert entry.hint.startswith("an SLO of "), name


def test_scenario_refuses_a_variant_that_it_does_not_define() -> None:
    with pytest.raises(DocumentError, match=r"small"):
        parse_scenario(
            "name: t\ndevices: [{type: v100}]\n"
            "models: [{name: big, profiles: {v100: {alpha_ms: 2, beta_ms: 9}}}]\n"
            "sessions: [{model: big, slo_ms: 100, rate: 6, variants: [small]}]\n"
        )
