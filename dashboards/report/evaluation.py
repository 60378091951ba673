"""The page of one model on one split: figures of each class and by size, curves, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lossweep.dashboards.report.overlays import hits_and_misses, overlay, to_png
from lossweep.dashboards.report.plots.style import Plot, iso_f1_lines, layout, rounded, text
from lossweep.dashboards.report.rendering import embedded, plotly, render, resource
from lossweep.dashboards.report.sections.gallery import ColorKey, Picture, color_keys, picture
from lossweep.spaces.metrics import SIZES, of_groups

if TYPE_CHECKING:
    from lossweep.trainers.inference.judging import Judged, WrongImage
    from lossweep.trainers.inference.spec import SegmenterSpec

TEST_READ: Final = (
    "The test split was read: a model, a threshold or a setting that is chosen by what is seen here is no"
    " longer held out."
)
_POINTS: Final = 400
"""Of a curve: more than a screen tells apart."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: what it is of, and its cells."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with what is said above it."""

    title: str
    lead: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """All that the page shows.

    Attributes:
        title: of the page.
        facts: what was measured, by name.
        warning: of the test split; empty on validation.
        tables: figures.
        curves: the plot.
        key: the colours of the overlays.
        pictures: overlays.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    warning: str
    tables: tuple[Table, ...]
    curves: Plot
    key: tuple[ColorKey, ...]
    pictures: tuple[Picture, ...]

    def to_html(self) -> str:
        """Return the page: one file that needs no network."""
        return render(
            "evaluation.html",
            page=self,
            style=resource("report.css"),
            plotly=plotly(),
            data=embedded({"curves": self.curves}),
        )


def evaluation_page(name: str, spec: SegmenterSpec, judged: Judged) -> EvaluationPage:
    """Return what the page shows, as values.

    Args:
        name: of the model, as the user gave it.
        spec: of the model.
        judged: what it is worth.
    """
    metrics, classes = judged.measured.metrics, spec.classes[1:]
    model = f"{spec.model.architecture}, encoder {spec.model.encoder}"
    told = spec.provenance
    thresholds = ", ".join(f"{each:.4g}" for each in judged.thresholds)
    facts = [
        ("model", f"{name}: {model}"),
        ("split", f"{judged.split}, {judged.images} images"),
        ("data", judged.fingerprint),
        ("thresholds on logits", f"{thresholds} ({judged.rule})"),
        *((key, str(told[key])) for key in ("sweep", "trial", "schedule") if key in told),
    ]
    return EvaluationPage(
        title=f"{name} on {judged.split}",
        facts=tuple(facts),
        warning=TEST_READ if judged.split == "test" else "",
        tables=(_figures(metrics, classes), *_sizes(judged, metrics, classes)),
        curves=_curves(judged, classes),
        key=color_keys(),
        pictures=tuple(map(_overlaid, judged.wrong)),
    )


def _figures(metrics: Mapping[str, float], classes: Sequence[str]) -> Table:
    shown = of_groups("pixel", "tuned", "curve", "object", "tuned_object", "count")
    names = [(metric.name, metric.words) for metric in shown if metric.name in metrics]
    listed = {*(name for name, _ in names), *(metric.name for metric in of_groups("size", "tuned_size"))}
    # Those with a number in their name, and the user's own.
    names += [(name, name) for name in sorted(metrics) if "/" not in name and name not in listed]
    columns, keys = _columns(classes)
    rows = (Row(words, tuple(_shown(metrics, f"{each}{key}") for key in keys)) for each, words in names)
    lead = "Sums over all images, not means of them. At 0.5, and at the thresholds above."
    return Table("Figures", lead, columns, tuple(rows))


def _sizes(judged: Judged, metrics: Mapping[str, float], classes: Sequence[str]) -> list[Table]:
    if not judged.measured.object_sizes:
        return []
    columns, keys = _columns(classes)
    bounds = "; ".join(
        f"{name}: small up to {small} pixels, middle up to {middle}"
        for name, (small, middle) in judged.measured.object_sizes.items()
    )
    rows = (
        Row(f"{size}, {words}", tuple(_shown(metrics, f"{prefix}object_recall_{size}{key}") for key in keys))
        for prefix, words in (("", "at 0.5"), ("tuned_", "tuned threshold"))
        for size in SIZES
    )
    lead = f"Object recall of each third of the objects by area, as the training masks divide them. {bounds}."
    return [Table("By object size", lead, columns, tuple(rows))]


def _columns(classes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands above the columns, and what their metrics' names end with."""
    if len(classes) == 1:
        return (classes[0],), ("",)
    return ("mean", *classes), ("", *(f"/{name}" for name in classes))


def _shown(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.4f}" if name in metrics else ""


def _curves(judged: Judged, classes: Sequence[str]) -> Plot:
    traces = iso_f1_lines()
    for name, curve, threshold in zip(classes, judged.measured.curves, judged.thresholds, strict=True):
        if curve.absent:
            continue
        recalls, precisions = curve.recalls, curve.precisions
        taken = np.unique(np.linspace(0, len(recalls) - 1, _POINTS).round().astype(int))
        at = curve.at(threshold)
        called, true = at.tp + at.fp, at.tp + at.fn
        label = text(name)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": rounded(recalls[taken].tolist()),
                "y": rounded(precisions[taken].tolist()),
            }
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{label}, in use",
                "x": [at.tp / max(true, 1)],
                "y": [at.tp / max(called, 1)],
                "marker": {"symbol": "diamond", "size": 11},
            }
        )
    span: dict[str, Any] = {"range": [0, 1.02]}
    return {"data": traces, "layout": layout("recall", "precision", xaxis=span, yaxis=span)}


def _overlaid(wrong: WrongImage) -> Picture:
    painted = to_png(overlay(wrong.image, wrong.mask, wrong.prediction))
    hit, alarm, miss = (int(np.count_nonzero(part)) for part in hits_and_misses(wrong.mask, wrong.prediction))
    return picture(wrong.name, painted, (hit, alarm, miss))
