"""The Dockerfiles: what they install, as whom they run, and what reaches the builder."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nexus.backend import control_service
from nexus.deploy.generated import DEPLOY
from nexus.frontend import inference_service
from nexus.scheduler import control

ROOT = DEPLOY.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {
    "frontend": "frontend",
    "scheduler": "scheduler,kubernetes",
    "backend": "torch,onnx",
}
SERVICES = {
    "frontend": inference_service.SERVICE_NAME,
    "scheduler": control.SERVICE,
    "backend": control_service.SERVICE_NAME,
}
KEPT = [
    line.removeprefix("!")
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line.startswith("!")
]


def dockerfile(component: str) -> str:
    return (ROOT / component / "Dockerfile").read_text()


each_component = pytest.mark.parametrize("component", sorted(EXTRAS))


@each_component
def test_image_installs_only_the_extras_of_its_role(component: str) -> None:
    (extras,) = re.findall(r'"\$\(ls /wheels/\*\.whl\)\[([\w,]+)\]"', dockerfile(component))
    assert extras == EXTRAS[component]
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    assert "--constraint /constraints.txt" in dockerfile(component)


@each_component
def test_image_runs_its_server_as_a_numbered_user(component: str) -> None:
    text = dockerfile(component)
    assert "USER 10001:10001" in text
    assert f'ENTRYPOINT ["nexus", "{component}"]' in text
    assert f"nexus health 127.0.0.1:8001 --service {SERVICES[component]}\n" in text


@each_component
def test_image_is_built_on_one_base_in_stages(component: str) -> None:
    bases = re.findall(r"^FROM (\S+)", dockerfile(component), re.MULTILINE)
    assert bases == ["python:3.11-slim-bookworm"] * 3


def test_image_of_the_backend_takes_its_torch_from_the_index_it_is_told() -> None:
    text = dockerfile("backend")
    assert re.search(r"^ARG TORCH_INDEX=$", text, re.MULTILINE)
    assert '${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}' in text


def test_image_of_the_frontend_listens_to_its_peers_where_pods_open_it() -> None:
    manifest = (DEPLOY / "kubernetes" / "base" / "frontend.yaml").read_text()
    listens = re.compile(r"NEXUS_PEER_LISTEN=0\.0\.0\.0:(\d+)$", re.MULTILINE)
    (port,) = listens.findall(dockerfile("frontend"))
    assert f"{{name: peer, containerPort: {port}}}" in manifest
    assert port in dockerfile("frontend").split("EXPOSE")[1].splitlines()[0].split()


def test_image_context_holds_what_the_wheel_is_made_of() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    missing = [
        package
        for package in packages
        if not any(package == kept or package.startswith(f"{kept}/") for kept in KEPT)
    ]
    assert missing == []


@pytest.mark.full
def test_image_context_builds_a_wheel_with_every_package(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in KEPT:
        source, target = ROOT / name, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path)]
    done = subprocess.run([*command, str(context)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("nexus_serving-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[1] for name in archive.namelist() if name.startswith("nexus/")}
        assert "nexus/__init__.py" not in archive.namelist()
    assert {"core", "frontend", "backend", "scheduler", "deploy", "cli", "v1"} <= folders
