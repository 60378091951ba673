"""Sweeps side by side, two or a whole suite, as pages that stand alone."""

from __future__ import annotations

from lossweep.dashboards.comparison.suite import SuiteResult
from lossweep.dashboards.comparison.two_sweeps import Comparison
from lossweep.dashboards.report.rendering import render, resource


def comparison_page(comparison: Comparison) -> str:
    """Return the page; it asks the network for nothing."""
    return render(
        "comparison.html",
        comparison=comparison,
        titles=("", *comparison.names),
        style=resource("comparison.css"),
    )


def suite_page(suite: SuiteResult) -> str:
    """Return the page of a suite; it asks the network for nothing."""
    return render("suite.html", suite=suite, style=resource("comparison.css"))
