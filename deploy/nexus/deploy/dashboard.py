"""Render the board as Grafana JSON: `python -m nexus.deploy.dashboard [--check]`.

The only file that imports the Grafana SDK, which is a development dependency: what is deployed is
the committed JSON.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from nexus.deploy import generated
from nexus.deploy.board import ROWS
from nexus.deploy.board.panel import Look, Panel
from nexus.telemetry.metrics import DUTY_CYCLE, SLO_TARGET

PATH = generated.DEPLOY / "grafana" / "dashboards" / "nexus.json"
PANEL_WIDTH = 8
PANEL_HEIGHT = 8
GRID_WIDTH = 24

_DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
_Chart = TypeVar("_Chart", timeseries.Panel, heatmap.Panel)


def dashboard_json() -> str:
    """The whole dashboard, as committed."""
    board = (
        builders.Dashboard("Nexus")
        .uid("nexus")
        .description("Are the promised latencies kept, and if not, where is the time lost?")
        .tags(["nexus", "serving"])
        .readonly()
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(_datasource_variable())
        .with_variable(_label_variable("session", SLO_TARGET.name, "Session or query"))
        .with_variable(_label_variable("instance", DUTY_CYCLE.name, "Backend"))
    )
    for part in _parts():
        if isinstance(part, builders.Row):
            board.with_row(part)
        else:
            board.with_panel(part)
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _parts() -> Iterator[builders.Row | timeseries.Panel | heatmap.Panel]:
    """Rows and panels from the top left, three panels a line, each with an id of its own."""
    number = 0
    top = 0
    for row in ROWS:
        number += 1
        yield builders.Row(row.title).id(number).grid_pos(models.GridPos(1, GRID_WIDTH, 0, top))
        top += 1
        for index, panel in enumerate(row.panels):
            number += 1
            line, column = divmod(index, GRID_WIDTH // PANEL_WIDTH)
            place = models.GridPos(
                PANEL_HEIGHT, PANEL_WIDTH, column * PANEL_WIDTH, top + line * PANEL_HEIGHT
            )
            yield _drawn(panel).id(number).grid_pos(place)
        lines = -(-len(row.panels) // (GRID_WIDTH // PANEL_WIDTH))
        top += lines * PANEL_HEIGHT


def _drawn(panel: Panel) -> timeseries.Panel | heatmap.Panel:
    if panel.look is Look.LINES:
        return _lines(panel)
    return _filled(heatmap.Panel(), panel).color(
        heatmap.HeatmapColorOptions()
        .scheme("Spectral")
        .mode(heatmap_models.HeatmapColorMode.SCHEME)
    )


def _lines(panel: Panel) -> timeseries.Panel:
    chart = (
        _filled(timeseries.Panel(), panel)
        .axis_soft_min(0)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
    )
    if panel.target is not None:
        chart.thresholds(_thresholds(panel.target, at_least=panel.at_least)).thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        )
    return chart


def _filled(chart: _Chart, panel: Panel) -> _Chart:
    """What every kind of chart has alike: texts, unit, source and queries."""
    chart.title(panel.title).description(panel.description).unit(panel.unit.value)
    chart.datasource(_DATASOURCE)
    for index, series in enumerate(panel.series):
        query = (
            prometheus.Dataquery()
            .ref_id(chr(ord("A") + index))
            .expr(series.expression)
            .legend_format(series.legend)
            .range()
        )
        if panel.look is Look.HEATMAP:
            query.format(PromQueryFormat.HEATMAP)
        chart.with_target(query)
    return chart


def _thresholds(target: float, *, at_least: bool) -> builders.ThresholdsConfig:
    below, above = ("red", "green") if at_least else ("green", "red")
    return (
        builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(None, below), models.Threshold(target, above)])
    )


def _datasource_variable() -> builders.DatasourceVariable:
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _label_variable(label: str, metric: str, title: str) -> builders.QueryVariable:
    """A choice among the values of a label; "All" matches what appears later, too."""
    return (
        builders.QueryVariable(label)
        .label(title)
        .datasource(_DATASOURCE)
        .query(f"label_values({metric}, {label})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the dashboard, or check the committed one."""
    return generated.run(
        {PATH: dashboard_json()}, prog="python -m nexus.deploy.dashboard", argv=argv
    )


if __name__ == "__main__":
    sys.exit(main())
