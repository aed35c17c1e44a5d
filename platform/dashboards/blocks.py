"""What the boards are built of: panels with a unit, a description and queries, and the frame that all boards share.

A query filters by `$namespace`, so that one board serves every environment, and finds Prometheus by the variable
`$prometheus`. What a number means and what to do about it stands in its description: a question mark in the corner.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableModel,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${prometheus}")
GREEN, YELLOW, RED, GREY = "green", "yellow", "red", "rgba(128, 128, 128, 0.2)"
_WHOLE = 24  # columns of a board

# What a mark says. The library has no key for it, so `write` adds it to the JSON.
MARK_TEXTS = {"Faults": "fault {{fault}} in {{namespace}}", "Recoveries": "{{service}} in {{namespace}} recovered"}


@dataclass(frozen=True)
class Query:
    """PromQL, and what the legend calls its series: `{{label}}` is the label's value."""

    expr: str
    legend: str = ""
    traces: bool = False  # with exemplars, which lead to traces


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    description: str
    panels: tuple[Builder[Panel], ...]
    span: str = "now-1h"


def number(
    title: str,
    told: str,
    unit: str,
    *queries: Query,
    warn: float | None = None,
    bad: float | None = None,
    falling: bool = False,
    width: int = 6,
) -> stat.Panel:
    """The value now, or one for each series. From `warn` on it is yellow, from `bad` on red; `falling`: below them."""
    panel = stat.Panel().graph_mode(BigValueGraphMode.AREA).color_mode(BigValueColorMode.VALUE)
    _add(panel, queries, instant=True)
    return (
        panel.title(title)
        .description(told)
        .unit(unit)
        .datasource(PROMETHEUS)
        .thresholds(_thresholds(warn, bad, falling))
        .height(5)
        .span(width)
    )


def series(
    title: str,
    told: str,
    unit: str,
    *queries: Query,
    bad: float | None = None,
    stacked: bool = False,
    width: int = 12,
) -> timeseries.Panel:
    """Lines over time; `bad` draws the border from which on a value is bad."""
    panel = timeseries.Panel().line_width(1).fill_opacity(30 if stacked else 5).legend(_legend())
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    _add(panel, queries)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if bad is not None:
        panel.thresholds(_thresholds(None, bad, falling=False))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return panel.title(title).description(told).unit(unit).datasource(PROMETHEUS).height(8).span(width).axis_soft_min(0)


def states(title: str, told: str, *queries: Query, height: int = 8) -> statetimeline.Panel:
    """A bar for each series, coloured while its value is 1."""
    panel = statetimeline.Panel().legend(_legend()).merge_values(True)
    _add(panel, queries)
    words = {"0": ValueMappingResult(text=" ", color=GREY, index=0), "1": ValueMappingResult("on", RED, index=1)}
    panel.mappings([ValueMap(options=words)])
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.thresholds(_thresholds(None, 1, falling=False))
    panel.show_value(VisibilityMode.NEVER)
    return panel.title(title).description(told).unit("short").datasource(PROMETHEUS).height(height).span(_WHOLE)


def rows(title: str, told: str, query: Query, width: int = _WHOLE) -> table.Panel:
    """The series of one query now, a row each."""
    panel = table.Panel().with_target(_target(query, "A").instant().format(PromQueryFormat.TABLE))
    return panel.title(title).description(told).unit("short").datasource(PROMETHEUS).height(7).span(width)


def build(board: Board) -> dashboard.Dashboard:
    """The board with what all share: variables, links to the others, and marks for faults and recoveries."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["smartops"])
        .time(board.span, "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(_others())
    )
    for variable in _variables():
        built.with_variable(variable)
    for mark in _marks():
        built.annotation(mark)
    for panel in board.panels:
        built.with_panel(panel)
    return built


def _add(
    panel: stat.Panel | timeseries.Panel | statetimeline.Panel, queries: tuple[Query, ...], instant: bool = False
) -> None:
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = _target(query, letter)
        panel.with_target(target.range_and_instant() if instant else target.range())


def _target(query: Query, letter: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(PROMETHEUS).exemplar(query.traces)
    return target.legend_format(query.legend or "__auto")


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _thresholds(warn: float | None, bad: float | None, falling: bool) -> dashboard.ThresholdsConfig:
    """Grafana colours from a value upwards; where small is bad, the order is turned."""
    colours = [(warn, YELLOW), (bad, RED)]
    steps = [Threshold(value=None, color=GREEN), *(Threshold(v, colour) for v, colour in colours if v is not None)]
    if falling:
        borders = [v for v in (bad, warn) if v is not None]
        upwards = [colour for v, colour in reversed(colours) if v is not None] + [GREEN]
        steps = [Threshold(v, colour) for v, colour in zip([None, *borders], upwards, strict=True)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _others() -> dashboard.DashboardLink:
    """A link to each board with the same tag, which keeps the time and the namespace."""
    link = dashboard.DashboardLink("SmartOps").type(DashboardLinkType.DASHBOARDS).tags(["smartops"])
    return link.include_vars(True).keep_time(True).as_dropdown(False)


def _variables() -> tuple[Builder[VariableModel], ...]:
    source = dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus")
    namespace = (
        dashboard.QueryVariable("namespace")
        .label("Namespace")
        .datasource(PROMETHEUS)
        .query('label_values(kube_deployment_spec_replicas{namespace=~"smartops.*"}, namespace)')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
    return (source, namespace)


def _mark(name: str, colour: str, expr: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery().name(name).enable(True).datasource(PROMETHEUS).icon_color(colour).expr(expr)


def _marks() -> tuple[dashboard.AnnotationQuery, ...]:
    """Faults and recoveries, each a minute longer than it was, since Grafana looks for marks once a minute."""
    here = '{namespace=~"$namespace"}'
    return (
        _mark("Faults", RED, f"max by (namespace, fault) (max_over_time(smartops_chaos_fault_active{here}[1m])) == 1"),
        _mark(
            "Recoveries",
            GREEN,
            f"max_over_time(smartops_chaos_incident_active{here}[1m]) == 1 "
            f"and smartops_chaos_incident_active{here} == 0",
        ),
    )
