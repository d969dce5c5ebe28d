"""The committed dashboard: up to date, and what Grafana's dashboard-linter would ask of it.

Of the linter's rules, template-job, template-instance and target-job-instance are left out on
purpose: a session's promise is kept by all frontends together, so its panels never pick one.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from nexus.core.request import DropReason
from nexus.deploy import dashboard
from nexus.deploy.board import ROWS
from nexus.deploy.board.panel import Unit
from nexus.deploy.outcomes import BROKEN, CALLER, REFUSED
from nexus.deploy.promql import without_variables

BOARD: dict[str, Any] = json.loads(dashboard.PATH.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
PROMTOOL = shutil.which("promtool")
COUNTER_SUFFIXES = ("_total", "_bucket", "_sum", "_count")


def expressions() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_dashboard_committed_file_is_what_the_code_says() -> None:
    assert dashboard.main(["--check"]) == 0


def test_dashboard_check_fails_on_a_stale_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "dashboard_json", lambda: "{}\n")
    assert dashboard.main(["--check"]) == 1
    assert "nexus.json (committed)" in capsys.readouterr().err


def test_dashboard_has_every_panel_of_the_board() -> None:
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == [row.title for row in ROWS]
    assert [panel["title"] for panel in PANELS] == [p.title for row in ROWS for p in row.panels]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_dashboard_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 30
    assert panel["fieldConfig"]["defaults"]["unit"] in {unit.value for unit in Unit}
    assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}
    assert panel["targets"], "panel-no-targets"
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_dashboard_titles_and_ids_are_unique() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    titles = [panel["title"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)


def test_dashboard_panels_do_not_overlap_or_leave_the_grid() -> None:
    boxes = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in combinations(boxes, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_dashboard_variables_choose_source_session_and_backend() -> None:
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "session", "instance"}
    assert variables["datasource"]["type"] == "datasource"
    for name in ("session", "instance"):
        assert variables[name]["refresh"] == 2, "template-on-time-change-reload"
        assert variables[name]["allValue"] == ".*"
        assert variables[name]["query"].endswith(f", {name})"), "template-label-promql"


def test_dashboard_is_not_editable_and_keeps_its_uid() -> None:
    assert BOARD["editable"] is False
    assert BOARD["uid"] == "nexus"


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_dashboard_query_aggregates_and_rates_counters(title: str, expression: str) -> None:
    assert expression.startswith(("sum", "max", "min", "avg", "histogram_quantile", "(sum")), title
    for counter in (word for word in COUNTER_SUFFIXES if word in expression):
        assert "rate(" in expression or "increase(" in expression, (counter, title)
    windows = expression.count("[")
    assert windows == expression.count("[$__rate_interval]"), "target-rate-interval"


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (tools/install_test_servers.sh)"
)
def test_dashboard_queries_are_accepted_by_promtool(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    rules = [
        {"record": f"query:{number}", "expr": without_variables(expression, "1m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = [PROMTOOL, "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_outcomes_put_every_drop_reason_in_exactly_one_class() -> None:
    assert {*CALLER, *REFUSED, *BROKEN} == set(DropReason)
    assert len(CALLER) + len(REFUSED) + len(BROKEN) == len(DropReason)
