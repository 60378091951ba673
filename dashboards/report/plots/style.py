"""What the plots share: their type, their look, and how user text enters them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lossweep.search.study.outcomes import OutcomeKind

Plot = dict[str, Any]
"""A plotly figure, as plain data: ``data`` (traces) and ``layout``."""

INK: Final = "#1d2733"
MUTED: Final = "#66717f"
GRID: Final = "#e6eaee"
ACCENT: Final = "#0b6e4f"
CONTROL: Final = "#b3261e"

OUTCOME_COLORS: Final[Mapping[OutcomeKind, str]] = {
    OutcomeKind.COMPLETED: "#0b6e4f",
    OutcomeKind.RUNNING: "#0072b2",
    OutcomeKind.PRUNED: "#e69f00",
    OutcomeKind.DIVERGED: "#882255",
    OutcomeKind.FAILED: "#b3261e",
    OutcomeKind.INTERRUPTED: "#66717f",
    OutcomeKind.PAUSED: "#56b4e9",
}


LEGEND: Final[Mapping[str, Any]] = {
    "orientation": "h",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "x": 0,
    "font": {"size": 11},
}
"""Along the foot of the plot, under the axis title."""


def text(value: object) -> str:
    """Return user text as plotly may show it: plotly reads a few HTML tags and entities in every label."""
    return html.escape(str(value), quote=False)


def shortened(value: str, longest: int = 90) -> str:
    """Return a line cut to what a hover label can hold."""
    return value if len(value) <= longest else value[: longest - 1] + "…"


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """Return values with four significant digits: what a screen can show, in a third of the bytes."""
    return [None if value is None else float(f"{value:.4g}") for value in values]


def button_row(buttons: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a row of buttons above a plot, for ``updatemenus``."""
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": list(buttons),
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "font": {"size": 11},
        "bgcolor": "#f4f6f8",
        "bordercolor": "#c5ccd3",
        **more,
    }


def layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a layout with titled axes in the report's look; ``xaxis`` and ``yaxis`` are merged in."""
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": "#c5ccd3",
        "ticks": "outside",
        "tickcolor": "#c5ccd3",
        "automargin": True,
    }
    found = {
        "xaxis": {**axis, "title": {"text": x}, **more.pop("xaxis", {})},
        "yaxis": {**axis, "title": {"text": y}, **more.pop("yaxis", {})},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "height": 380,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "font": {"size": 12, "color": INK}},
        "legend": LEGEND,
    }
    return {**found, **more}


def iso_f1_lines(levels: Sequence[float] = (0.2, 0.4, 0.6, 0.8)) -> list[dict[str, Any]]:
    """Return traces of equal F1 in the precision-recall plane: precision = F r / (2 r - F)."""
    lines = []
    for level in levels:
        least = level / (2.0 - level)
        recalls = [least + (1.0 - least) * (step / 40) ** 2 for step in range(41)]
        precisions = [min(1.0, level * recall / (2.0 * recall - level)) for recall in recalls]
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+text",
                "x": rounded(recalls),
                "y": rounded(precisions),
                "text": [""] * 40 + [f"F1 {level:g}"],
                "textposition": "middle left",
                "textfont": {"size": 10, "color": "#8a95a1"},
                "line": {"color": "#c5ccd3", "width": 1, "dash": "dot"},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return lines
