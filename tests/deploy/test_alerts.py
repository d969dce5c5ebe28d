"""The committed rules: up to date, accepted by promtool, and firing when they should."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nexus.deploy import alerts, generated

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (tools/install_test_servers.sh)"
)
OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
ALERTS: list[dict[str, Any]] = [
    rule for group in alerts.rule_groups() for rule in group["rules"] if "alert" in rule
]


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_committed_files_are_what_the_code_says() -> None:
    assert alerts.main(["--check"]) == 0


def test_alerts_names_are_unique_and_every_one_is_explained() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    headings = [
        line.removeprefix("### ").lower().replace(" ", "-")
        for line in OPERATING.read_text().splitlines()
        if line.startswith("### ")
    ]
    for rule in ALERTS:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operating.md"
        assert anchor in headings, f"docs/operating.md does not explain {rule['alert']}"


def test_alerts_for_the_operator_hold_the_same_groups() -> None:
    operator = yaml.safe_load(alerts.OPERATOR_PATH.read_text())
    plain = yaml.safe_load(alerts.RULES_PATH.read_text())
    assert operator["kind"] == "PrometheusRule"
    assert operator["spec"] == plain


@needs_promtool
def test_alerts_rules_are_accepted_by_promtool() -> None:
    promtool("check", "rules", str(alerts.RULES_PATH))


@needs_promtool
def test_alerts_prometheus_configuration_is_accepted_by_promtool() -> None:
    promtool("check", "config", str(generated.DEPLOY / "prometheus" / "prometheus.yml"))


@needs_promtool
@pytest.mark.parametrize(
    "file", sorted(Path(__file__).parent.glob("rules_*.yml")), ids=lambda file: file.stem
)
def test_alerts_fire_on_trouble_and_only_then(file: Path) -> None:
    promtool("test", "rules", str(file))
