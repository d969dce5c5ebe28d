"""The rendered overlays: valid Kubernetes, and consistent with themselves and with the code."""

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nexus.backend import control_service
from nexus.backend import server as backend_server
from nexus.backend.settings import GRACE_S
from nexus.deploy import scale_api
from nexus.deploy.generated import DEPLOY
from nexus.frontend import inference_service
from nexus.frontend import server as frontend_server
from nexus.frontend.server import DRAIN_S_MAX
from nexus.rpc import health
from nexus.scheduler import control
from nexus.scheduler import server as scheduler_server

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

OVERLAYS = ("cpu", "gpu", "emulated")
SERVERS = ("frontend", "backend", "scheduler")
SERVICES = {
    "frontend": inference_service.SERVICE_NAME,
    "scheduler": control.SERVICE,
    "backend": control_service.SERVICE_NAME,
}
COMPONENT = "app.kubernetes.io/component"
DRAIN_S = {
    "frontend": DRAIN_S_MAX + frontend_server.STOP_GRACE_S,
    "backend": GRACE_S + backend_server.STOP_GRACE_S,
    "scheduler": scheduler_server.STOP_GRACE_S,
}
"""No server takes longer than this to stop after SIGTERM."""
CUSTOM = {"PodMonitor", "PrometheusRule"}
"""Kinds whose schemas are the Prometheus operator's, not Kubernetes's."""

Manifest = dict[str, Any]


def render(folder: str) -> str:
    assert KUBECTL is not None
    command = [KUBECTL, "kustomize", str(DEPLOY / "kubernetes" / folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@functools.cache
def objects(overlay: str) -> tuple[Manifest, ...]:
    return tuple(yaml.safe_load_all(render(f"overlays/{overlay}")))


def of_kind(overlay: str, *kinds: str) -> Iterator[Manifest]:
    return (one for one in objects(overlay) if one["kind"] in kinds)


def named(overlay: str, kind: str, name: str) -> Manifest:
    return next(one for one in of_kind(overlay, kind) if one["metadata"]["name"] == name)


def workloads(overlay: str) -> Iterator[Manifest]:
    return of_kind(overlay, "Deployment", "StatefulSet")


def servers(overlay: str) -> Iterator[Manifest]:
    return (one for one in workloads(overlay) if component(one) in SERVERS)


def component(workload: Manifest) -> str:
    return str(workload["spec"]["template"]["metadata"]["labels"][COMPONENT])


def pod(workload: Manifest) -> Manifest:
    found: Manifest = workload["spec"]["template"]["spec"]
    return found


def container(workload: Manifest) -> Manifest:
    (only,) = pod(workload)["containers"]
    found: Manifest = only
    return found


def ports(workload: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(workload)["ports"]}


def labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: dict[str, str], workload: Manifest) -> bool:
    return selector.items() <= labels(workload).items()


each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), "monitoring"])
def test_kustomize_output_passes_the_strict_schemas(folder: str, tmp_path: Path) -> None:
    rendered = [one for one in yaml.safe_load_all(render(folder)) if one["kind"] not in CUSTOM]
    file = tmp_path / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(rendered))
    validate = Path(sys.executable).with_name("kubernetes-validate")
    command = [str(validate), "-k", "1.34", "--strict", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_overlay
def test_kustomize_everything_lies_in_the_namespace(overlay: str) -> None:
    for one in objects(overlay):
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == "nexus", one["metadata"]["name"]


@each_overlay
def test_kustomize_selectors_match_the_pods_they_are_for(overlay: str) -> None:
    for workload in workloads(overlay):
        assert selects(workload["spec"]["selector"]["matchLabels"], workload)
    for one in of_kind(overlay, "Service"):
        chosen = [w for w in workloads(overlay) if selects(one["spec"]["selector"], w)]
        assert len(chosen) == 1, one["metadata"]["name"]
    for one in of_kind(overlay, "PodDisruptionBudget"):
        selector = one["spec"]["selector"]["matchLabels"]
        assert len([w for w in workloads(overlay) if selects(selector, w)]) == 1


@each_overlay
def test_kustomize_service_ports_are_ports_of_the_pods(overlay: str) -> None:
    for service in of_kind(overlay, "Service"):
        (target,) = (w for w in workloads(overlay) if selects(service["spec"]["selector"], w))
        for port in service["spec"]["ports"]:
            assert ports(target)[port["targetPort"]] == port["port"]


@each_overlay
def test_kustomize_stateful_sets_have_their_headless_service(overlay: str) -> None:
    for one in of_kind(overlay, "StatefulSet"):
        assert named(overlay, "Service", one["spec"]["serviceName"])["spec"]["clusterIP"] == "None"


@each_overlay
def test_kustomize_pods_are_restricted(overlay: str) -> None:
    for workload in workloads(overlay):
        assert pod(workload)["securityContext"]["runAsNonRoot"] is True
        assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@each_overlay
def test_kustomize_only_the_scheduler_may_talk_to_the_api(overlay: str) -> None:
    accounts = {one["metadata"]["name"] for one in of_kind(overlay, "ServiceAccount")}
    for workload in workloads(overlay):
        assert pod(workload)["serviceAccountName"] in accounts
        allowed = pod(workload)["automountServiceAccountToken"]
        assert allowed is (component(workload) == "scheduler")
    (binding,) = of_kind(overlay, "RoleBinding")
    assert [subject["name"] for subject in binding["subjects"]] == ["nexus-scheduler"]


@each_overlay
def test_kustomize_role_grants_the_verbs_that_the_code_uses(overlay: str) -> None:
    source = Path(scale_api.__file__).read_text()
    calls = re.findall(r"_apps\.(\w+?)_namespaced_stateful_set(_scale)?\(", source)
    verbs = {"list": "list", "read": "get", "patch": "patch"}
    used = {(f"statefulsets{scale.replace('_', '/')}", verbs[call]) for call, scale in calls}
    (role,) = of_kind(overlay, "Role")
    granted = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == used
    assert all(rule["apiGroups"] == ["apps"] for rule in role["rules"])


@each_overlay
def test_kustomize_servers_have_native_probes_on_their_grpc_port(overlay: str) -> None:
    for workload in servers(overlay):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            grpc = container(workload)[probe]["grpc"]
            assert grpc["port"] == ports(workload)["grpc"]


@each_overlay
def test_kustomize_probes_name_health_services_that_exist(overlay: str) -> None:
    for workload in servers(overlay):
        probes = container(workload)
        assert probes["startupProbe"]["grpc"]["service"] == health.ALIVE
        assert probes["livenessProbe"]["grpc"]["service"] == health.ALIVE
        assert probes["readinessProbe"]["grpc"]["service"] == SERVICES[component(workload)]


@functools.cache
def variables_read_by(component: str) -> frozenset[str]:
    """The environment variables of a server: one for each flag that its help names."""
    command = [sys.executable, "-m", f"nexus.{component}", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    flags = re.findall(r"^  --([a-z-]+)", text, re.MULTILINE)
    return frozenset(f"NEXUS_{flag.upper().replace('-', '_')}" for flag in flags)


@each_overlay
def test_kustomize_sets_only_variables_that_the_servers_read(overlay: str) -> None:
    (configuration,) = of_kind(overlay, "ConfigMap")
    for workload in servers(overlay):
        names = {*environment(workload), *configuration["data"]} - {"REDIS_PASSWORD"}
        assert names <= variables_read_by(component(workload))


@each_overlay
def test_kustomize_pods_outlive_their_drain(overlay: str) -> None:
    for workload in servers(overlay):
        stop = container(workload).get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
        needed_s = stop["sleep"]["seconds"] + DRAIN_S[component(workload)]
        assert pod(workload)["terminationGracePeriodSeconds"] > needed_s


@each_overlay
def test_kustomize_scaled_workloads_name_no_replicas(overlay: str) -> None:
    assert "replicas" not in named(overlay, "StatefulSet", "nexus-backend")["spec"]
    assert "replicas" not in named(overlay, "Deployment", "nexus-frontend")["spec"]
    (autoscaler,) = of_kind(overlay, "HorizontalPodAutoscaler")
    assert autoscaler["spec"]["minReplicas"] >= 2
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == "nexus-frontend"
    assert named(overlay, "Deployment", "nexus-scheduler")["spec"]["replicas"] == 2


@each_overlay
def test_kustomize_backend_set_carries_what_the_controller_reads(overlay: str) -> None:
    metadata = named(overlay, "StatefulSet", "nexus-backend")["metadata"]
    device = metadata["labels"][scale_api.DEVICE_LABEL]
    low, high = (
        int(metadata["annotations"][key])
        for key in (scale_api.REPLICAS_MIN_ANNOTATION, scale_api.REPLICAS_MAX_ANNOTATION)
    )
    assert 0 < low <= high
    variables = environment(named(overlay, "StatefulSet", "nexus-backend"))
    kind, _, rest = variables["NEXUS_DEVICE"].partition(":")
    assert device == (rest if kind == "emulated" else kind)


def environment(workload: Manifest) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container(workload)["env"]}


def test_kustomize_gpu_pods_get_one_whole_gpu() -> None:
    spec = container(named("gpu", "StatefulSet", "nexus-backend"))
    assert spec["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["resources"]["limits"] == spec["resources"]["requests"]
    assert spec["image"].endswith("-gpu")


@each_overlay
def test_kustomize_configuration_changes_roll_the_pods(overlay: str) -> None:
    (configuration,) = of_kind(overlay, "ConfigMap")
    name = configuration["metadata"]["name"]
    assert re.fullmatch(r"nexus-[a-z0-9]{10}", name)
    for workload in servers(overlay):
        assert container(workload)["envFrom"] == [{"configMapRef": {"name": name}}]


def allowed(overlay: str, policy: str, direction: str) -> Iterator[tuple[set[str], int]]:
    """(components of the peers, port) of each rule; no component named means anyone."""
    rules = named(overlay, "NetworkPolicy", policy)["spec"].get(direction, [])
    peers = "from" if direction == "ingress" else "to"
    for rule in rules:
        names: set[str] = set()
        for peer in rule.get(peers, []):
            selector = peer.get("podSelector", {})
            names |= {*selector.get("matchLabels", {}).values()} & {*SERVERS, "redis"}
            for expression in selector.get("matchExpressions", []):
                names |= set(expression["values"])
        for port in rule["ports"]:
            yield names, port["port"]


@each_overlay
def test_kustomize_every_pod_may_ask_the_clusters_dns(overlay: str) -> None:
    policy = named(overlay, "NetworkPolicy", "dns")["spec"]
    assert policy["podSelector"] == {}
    (rule,) = policy["egress"]
    assert rule["to"] == [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    ]


@each_overlay
def test_kustomize_pods_carry_the_labels_that_monitoring_selects(overlay: str) -> None:
    (monitor,) = (
        one for one in yaml.safe_load_all(render("monitoring")) if one["kind"] == "PodMonitor"
    )
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    selector = monitor["spec"]["selector"]
    (expression,) = selector["matchExpressions"]
    assert set(expression["values"]) == set(SERVERS)
    for workload in servers(overlay):
        assert selects(selector["matchLabels"], workload)
        assert endpoint["port"] in ports(workload)
        annotations = workload["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(ports(workload)["metrics"])


@each_overlay
def test_kustomize_policies_let_each_flow_through_at_both_ends(overlay: str) -> None:
    default = named(overlay, "NetworkPolicy", "default-deny")["spec"]
    assert default["podSelector"] == {}
    assert default["policyTypes"] == ["Ingress", "Egress"]
    listening = {component(workload): ports(workload) for workload in workloads(overlay)}
    flows = [
        ("frontend", "redis", "redis"),
        ("backend", "redis", "redis"),
        ("scheduler", "redis", "redis"),
        ("frontend", "backend", "data"),
        ("frontend", "frontend", "peer"),
        ("scheduler", "backend", "grpc"),
    ]
    for source, target, port in flows:
        number = listening[target][port]
        leaves = [({target}, number)]
        assert [one for one in allowed(overlay, source, "egress") if one in leaves], (source, port)
        arrives = [n for n, p in allowed(overlay, target, "ingress") if p == number]
        assert any(source in names for names in arrives), (source, target)
    assert (set(), listening["frontend"]["grpc"]) in list(allowed(overlay, "frontend", "ingress"))
