"""Every metric in the dashboard and the rules is declared, and every declared one is used."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from nexus.deploy import alerts, dashboard
from nexus.telemetry.metrics import ALL
from nexus.telemetry.spec import MetricKind

NOT_DECLARED_HERE = {"up"}
"""Prometheus's own."""
ADDED_LABELS = {"instance", "job", "le"}
"""Labels that Prometheus adds."""

DECLARED = {spec.name: spec for spec in ALL}
_RECORDED = re.compile(r"\w+:nexus\w+:\w+")
_METRIC = re.compile(r"\bnexus_[a-z_]+\b")
_MATCHED = re.compile(r"(\w+)(\{[^}]*\})")
_BY = re.compile(r"by \(([^)]*)\)")


def dashboard_expressions() -> list[str]:
    board: dict[str, Any] = json.loads(dashboard.PATH.read_text())
    variables = [str(variable.get("query", "")) for variable in board["templating"]["list"]]
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    return variables + [target["expr"] for target in targets]


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(alerts.RULES_PATH.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def declared_name(name: str) -> str:
    """The declared metric of a series name, which for a histogram has a suffix."""
    if name in DECLARED:
        return name
    stem = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
    assert DECLARED[stem].kind is MetricKind.HISTOGRAM, name
    return stem


def used(expressions: list[str]) -> set[str]:
    text = " ".join(_RECORDED.sub("", expression) for expression in expressions)
    return {declared_name(name) for name in _METRIC.findall(text)}


def test_metric_use_every_declared_metric_is_on_the_dashboard() -> None:
    assert used(dashboard_expressions()) == set(DECLARED)


def test_metric_use_rules_name_declared_or_recorded_metrics() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    expressions = [rule["expr"] for rule in rules()]
    assert used(expressions) <= set(DECLARED)
    mentioned = {name for one in expressions for name in _RECORDED.findall(one)}
    assert mentioned <= recorded
    assert mentioned == recorded, "a recorded series that nothing reads"


def matched_labels(expression: str) -> Iterator[tuple[str, str]]:
    for name, matchers in _MATCHED.findall(expression):
        for label in re.findall(r"(\w+)\s*[=!]~?", re.sub(r'"[^"]*"', '""', matchers)):
            yield name, label


def test_metric_use_matchers_name_labels_that_the_metric_has() -> None:
    for expression in dashboard_expressions() + [rule["expr"] for rule in rules()]:
        for name, label in matched_labels(expression):
            if name in NOT_DECLARED_HERE:
                continue
            labels = set(DECLARED[declared_name(name)].labels) | ADDED_LABELS
            assert label in labels, (label, expression)


def test_metric_use_groupings_name_labels_that_some_metric_of_the_query_has() -> None:
    for expression in dashboard_expressions() + [rule["expr"] for rule in rules()]:
        known = ADDED_LABELS.union(*(DECLARED[name].labels for name in used([expression])))
        for group in _BY.findall(expression):
            assert {label.strip() for label in group.split(",")} <= known, expression
