"""Boards in Grafana's words."""

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

from helm.dashboards.board import Board, Look, Panel
from sluice.report import palette

_Shape = timeseries.Panel | stat.Panel | statetimeline.Panel

METRICS = DataSourceRef("prometheus", "${datasource}")
_OURS = 'job=~"$job", instance=~"$instance"'
_HEIGHTS = {"graph": 8, "stack": 8, "figure": 4, "states": 8}
_TRACES = {
    "of": {
        "datasource": "${tracing}",
        "queries": [{"refId": "A", "queryType": "traceql", "query": '{resource.service.name="sluice"}'}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
}
_TO_TRACES = f"/explore?schemaVersion=1&panes={quote(json.dumps(_TRACES), safe='${}_:,')}"


def to_json(board: Board) -> str:
    """Return the file of a dashboard."""
    return json.dumps(_dashboard(board).build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _dashboard(board: Board) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.text)
        .tags(["sluice"])
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Sluice")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["sluice"])
            .include_vars(True)  # noqa: FBT003 - the library's way
            .keep_time(True)  # noqa: FBT003
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Alerts")
            .datasource(METRICS)
            .enable(True)  # noqa: FBT003
            .icon_color("red")
            .expr('ALERTS{alertname=~"Sluice.+", alertstate="firing"}')
        )
    )
    for variable in _variables():
        built.with_variable(variable)
    number = 0
    for row in board.rows:
        number += 1
        built.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel).id(number))
    return built


def _variables() -> tuple[dashboard.DatasourceVariable | dashboard.QueryVariable, ...]:
    return (
        dashboard.DatasourceVariable("datasource").label("Metrics").type("prometheus"),
        dashboard.DatasourceVariable("tracing").label("Traces").type("tempo"),
        _choice("job", "label_values(sluice_ready, job)"),
        _choice("instance", 'label_values(sluice_ready{job=~"$job"}, instance)'),
    )


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(METRICS)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)  # noqa: FBT003
        .include_all(True)  # noqa: FBT003
        .all_value(".*")
    )


def _panel(panel: Panel) -> _Shape:
    shape = _shape(panel.look)
    shape.title(panel.title).description(panel.text).unit(panel.unit).datasource(METRICS)
    shape.span(panel.width).height(_HEIGHTS[panel.look])
    for ref, (legend, query) in zip("ABCDEFGH", panel.queries.items(), strict=False):
        shape.with_target(_target(ref, legend, query, instant=panel.look == "figure"))
    for name, colour in _colours(panel).items():
        shape.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    if panel.limits:
        shape.thresholds(_thresholds(*panel.limits))
    if panel.traces:
        shape.data_links([dashboard.DashboardLink("Traces of this time").url(_TO_TRACES).target_blank(True)])  # noqa: FBT003
    return shape


def _colours(panel: Panel) -> dict[str, str]:
    """Return the colours of the series that have one of their own, by their legends."""
    status = {str(each): colour.dark for each, colour in palette.STATUS.items()}
    found = {name: colour for name, colour in palette.PERCENTILE.items() if name in panel.queries}
    return found | (status if "{{status}}" in panel.queries else {})


def _target(ref: str, legend: str, query: str, *, instant: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref).datasource(METRICS).expr(query.replace("OURS", _OURS))
    if legend:
        target.legend_format(legend)
    # Exemplars lead from a point to its trace, where the metrics came by OTLP; a scrape carries none.
    return target.instant() if instant else target.range().exemplar("_bucket" in query)


def _shape(look: Look) -> _Shape:
    match look:
        case "graph":
            return _graph()
        case "stack":
            return _graph().stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
        case "figure":
            last = common.ReduceDataOptions().calcs(["lastNotNull"])
            coloured = stat.Panel().color_mode(BigValueColorMode.BACKGROUND).graph_mode(BigValueGraphMode.NONE)
            return coloured.reduce_options(last)
        case "states":
            return statetimeline.Panel()


def _graph() -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
    return timeseries.Panel().legend(legend.show_legend(True)).tooltip(tooltip).axis_soft_min(0).fill_opacity(8)  # noqa: FBT003


def _thresholds(warning: float, bad: float) -> dashboard.ThresholdsConfig:
    """Colour by limits that are bad above, or below where the second is the smaller."""
    if warning < bad:
        steps = [Threshold(None, "green"), Threshold(warning, "orange"), Threshold(bad, "red")]
    else:
        steps = [Threshold(None, "red"), Threshold(bad, "orange"), Threshold(warning, "green")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
