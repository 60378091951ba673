"""Two sweeps side by side, as a page that stands alone."""

from __future__ import annotations

from lossweep.dashboards.comparison.two_sweeps import Comparison
from lossweep.dashboards.report.rendering import render, resource


def comparison_page(comparison: Comparison) -> str:
    """Return the page; it asks the network for nothing."""
    return render("comparison.html", comparison=comparison, style=resource("comparison.css"))
