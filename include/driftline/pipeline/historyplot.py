"""The page of a backtest: precision and recall against the threshold, and alarms a week. It needs no network to be looked at."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DataError

if TYPE_CHECKING:
    import plotly.graph_objects as go

# The same colours on white and on near black; text and lines follow the page's scheme by way of the style sheet.
COLOURS = {"precision": "#2f7ed8", "recall": "#d9822b", "f1": "#3aa76d", "alarms": "#8b6fd0"}
STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #ffffff; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe6ee; --paper: #14181d; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem;
  padding: 0 1rem; }
svg text { fill: var(--ink) !important; }
.hoverlayer text { fill: #1d2733 !important; }
"""


def write_plot(report: dict[str, Any], path: str) -> None:
    """Writes a backtest's report as a page.

    Raises:
        DataError: The file cannot be written.
    """
    from plotly.io import to_html

    figures = [_judged(report), _alarms(report)] if "sweep" in report else [_alarms(report)]
    parts = [
        to_html(figure, full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False, "responsive": True})
        for number, figure in enumerate(figures)
    ]
    sentence = f"<p>{escape(report['fixed']['sentence'])}</p>" if "fixed" in report else ""
    name = escape(report["name"])
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Backtest of {name}</title><style>{STYLE}</style></head>"
        f"<body><h1>Backtest of {name}</h1><p>{report['series']} series, {escape(report['start'])} – {escape(report['end'])}, "
        f"buckets of {escape(report['bucket_span'])}.</p>{sentence}{''.join(parts)}</body></html>"
    )
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the plot cannot be written: {error.strerror}", where=path, fix="Give a file in a folder that exists."
        ) from None


def _judged(report: dict[str, Any]) -> go.Figure:
    import plotly.graph_objects as go

    thresholds = [each["threshold"] for each in report["sweep"]]
    figure = go.Figure(
        [
            go.Scatter(
                x=thresholds,
                y=[each[name] for each in report["sweep"]],
                name=label,
                mode="lines+markers",
                line={"color": COLOURS[name]},
                marker={"size": 4},
            )
            for name, label in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
        ]
    )
    figure.update_yaxes(range=[0, 1.03], title="share")
    return _laid_out(figure, report, "Precision and recall against the threshold")


def _alarms(report: dict[str, Any]) -> go.Figure:
    import plotly.graph_objects as go

    levels = report["alarms"]
    figure = go.Figure(
        go.Scatter(
            x=[each["threshold"] for each in levels],
            y=[each["alarms_a_week"] for each in levels],
            mode="lines+markers",
            line={"color": COLOURS["alarms"], "shape": "hv"},
            name="alarms a week",
        )
    )
    figure.update_yaxes(rangemode="tozero", title="alarms a week, all series")
    return _laid_out(figure, report, "Alarms a week against the threshold")


def _laid_out(figure: go.Figure, report: dict[str, Any], title: str) -> go.Figure:
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        title=title,
        height=380,
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        hovermode="x unified",
        hoverlabel={"bgcolor": "#f4f6f8"},
        legend={"orientation": "h", "y": 1.12, "x": 1, "xanchor": "right"},
    )
    grid = {"gridcolor": "rgba(136,136,136,0.25)", "zerolinecolor": "rgba(136,136,136,0.5)"}
    figure.update_xaxes(title="threshold (score)", range=[0, 101], **grid)
    figure.update_yaxes(**grid)
    figure.add_vline(x=report["threshold"], line={"color": "#888888", "dash": "dot"})
    return figure
