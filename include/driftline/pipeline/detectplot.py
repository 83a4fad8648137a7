"""The picture of a file's detection: readings, what was expected, and alarms. It needs no network to be looked at."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError
from driftline.pipeline.historyplot import STYLE
from driftline.pipeline.readings import ONE
from driftline.scoring.kinds import KINDS
from driftline.scoring.score import severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from driftline.pipeline.detect import Scored

# On white and on near black alike; from warning to critical.
SEVERITY_COLOURS = {"warning": "#7fb2e5", "minor": "#e0b000", "major": "#e07b00", "critical": "#d62f2f"}
VALUE, BAND, TYPICAL = "#808890", "rgba(47,126,216,0.22)", "#2f7ed8"
# More series than a page is read for, and more points than a browser draws at once.
SERIES_MOST, POINTS_MOST = 8, 20_000


def write_plot(name: str, scored: Sequence[Scored], path: str) -> None:
    """Writes a page with the series of a file, those with the highest scores first.

    Raises:
        DataError: The file cannot be written.
    """
    from plotly.io import to_html

    order = sorted(scored, key=lambda each: -float(each.found.anomaly_score[0, each.alarms].max(initial=0.0)))
    config = {"displaylogo": False, "responsive": True}
    parts = [
        to_html(_figure(each), full_html=False, include_plotlyjs=number == 0, config=config)
        for number, each in enumerate(order[:SERIES_MOST])
    ]
    left = f"<p>{len(order) - SERIES_MOST} more series are not drawn.</p>" if len(order) > SERIES_MOST else ""
    title = f"What stands out in {escape(name)}"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><h1>{title}</h1><p>Times are UTC. The band is what was expected (95 %) by all that came before.</p>"
        f"{''.join(parts)}{left}</body></html>"
    )
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(f"the picture cannot be written: {error.strerror}", where=path) from None


def _figure(each: Scored) -> go.Figure:
    import plotly.graph_objects as go

    shown = _thinned(each.values, each.alarms)
    times = each.times[shown]
    lower, typical, upper = (part[0, shown] for part in (each.found.lower, each.found.typical, each.found.upper))
    figure = go.Figure(
        [
            go.Scatter(x=times, y=lower, mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip"),
            go.Scatter(x=times, y=upper, mode="lines", line={"width": 0}, fill="tonexty", fillcolor=BAND, name="expected, 95 %"),
            go.Scatter(x=times, y=typical, mode="lines", line={"color": TYPICAL, "width": 1}, name="typical"),
            go.Scatter(x=times, y=each.values[shown], mode="lines", line={"color": VALUE, "width": 1}, name="value"),
            *_marks(each),
        ]
    )
    clear, grid = "rgba(0,0,0,0)", {"gridcolor": "rgba(136,136,136,0.25)", "zerolinecolor": "rgba(136,136,136,0.5)"}
    figure.update_layout(
        title="" if each.name == ONE else escape(each.name),
        height=420,
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        hoverlabel={"bgcolor": "#f4f6f8"},
        legend={"orientation": "h", "y": 1.1, "x": 1, "xanchor": "right"},
    )
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)
    return figure


def _marks(each: Scored) -> list[Any]:
    """The alarms, by severity; where there is no value they lie on what was expected."""
    import plotly.graph_objects as go

    alarms, scores = each.alarms, each.found.anomaly_score[0, each.alarms]
    severities = np.array([severity(score) for score in scores.tolist()], dtype=object)
    marks = []
    for name, colour in SEVERITY_COLOURS.items():
        of_it = severities == name
        if not of_it.any():
            continue
        places = alarms[of_it]
        heights = np.where(np.isnan(each.values[places]), each.found.typical[0, places], each.values[places])
        texts = [
            f"{KINDS[code].replace('_', ' ')}, {score:.0f}"
            for code, score in zip(each.found.kind[0, places].tolist(), scores[of_it].tolist(), strict=True)
        ]
        marker = {"color": colour, "size": 9, "line": {"width": 1, "color": "#ffffff"}}
        marks.append(go.Scatter(x=each.times[places], y=heights, mode="markers", marker=marker, name=name, text=texts))
    return marks


def _thinned(values: NDArray[np.float64], alarms: NDArray[np.intp]) -> NDArray[np.intp]:
    """Places that are drawn: of very long series the least and the greatest of each stretch, and all alarms."""
    if len(values) <= POINTS_MOST:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(len(values)), POINTS_MOST // 2)
    known = ~np.isnan(values)
    least, greatest = np.where(known, values, np.inf), np.where(known, values, -np.inf)
    ends = [part[place] for part in stretches for place in (int(least[part].argmin()), int(greatest[part].argmax()))]
    return np.unique(np.concatenate([np.array(ends, dtype=np.intp), alarms]))
