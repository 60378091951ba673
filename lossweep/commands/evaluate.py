"""``lossweep evaluate``: what a trained model is worth on some data."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import WorkspaceFolder, check_output, write_output
from lossweep.commands.models import Device, ModelArgument, Precision, TrialNumber, loaded, stored

if TYPE_CHECKING:
    from lossweep.search.sweep_spec import SweepSpec


class Split(StrEnum):
    """Which images."""

    VAL = "val"
    TEST = "test"


def evaluate(
    model: ModelArgument,
    sweep_file: Annotated[
        Path | None,
        typer.Option(
            "--sweep",
            metavar="SWEEP.yaml",
            help="Sweep file with the data, and what is measured.",
            show_default="its own sweep's",
        ),
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Which images.")] = Split.VAL,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", help="Where to write the page.")
    ] = Path("evaluation.html"),
    figures: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE.json", help="Also write the figures.", show_default=False),
    ] = None,
    trial: TrialNumber = None,
    precision: Annotated[
        Precision | None,
        typer.Option("--precision", help="In what numbers to compute.", show_default="as it was trained"),
    ] = None,
    device: Device = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Measure a model: figures of each class and by object size, curves, and what it gets most wrong.

    MODEL is a file of `lossweep train` or `export --checkpoint`, or a sweep's name: its winner, as `export`
    chooses it. Two classes are measured at the model's own threshold, never at one tuned on these images.
    """
    from lossweep.dashboards.report.evaluation import TEST_READ, evaluation_page
    from lossweep.search.conducting.plans import measuring
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.metrics import shown_in
    from lossweep.trainers.inference.judging import judged
    from lossweep.trainers.trial import SegmentationTrainer

    for path in (output, figures):
        if path is not None:
            check_output(path)
    where = Workspace.at(workspace)
    segmenter = loaded(
        model,
        trial=trial,
        sweep_file=sweep_file,
        precision=precision or Precision.FLOAT32,
        device=device,
        workspace=workspace,
    )
    if precision is None:
        segmenter = segmenter.as_measured()
    spec = _setting(model, segmenter.spec.provenance.get("sweep"), sweep_file, where.root)
    data = SegmentationTrainer(spec.data, where.cache, None).data()
    if split is Split.TEST:
        typer.echo(TEST_READ, err=True)
    found = judged(segmenter, data, measuring(spec.measure, spec.steered_by), split.value)
    write_output(output, evaluation_page(model, segmenter.spec, found).to_html())
    if figures is not None:
        told = {"model": model, "classes": list(segmenter.spec.classes), **found.figures()}
        write_output(figures, json.dumps(told, indent=2) + "\n")
    names = (metric.name for metric in shown_in("table", "tuned", "tuned_object", "curve"))
    metrics = found.measured.metrics
    said = ", ".join(
        f"{name.removeprefix('tuned_')} {metrics[name]:.3f}" for name in names if name in metrics
    )
    typer.echo(f"{split.value}, {found.images} images: {said}")
    typer.echo(f"wrote {output}" + (f" and {figures}" if figures is not None else ""))


def _setting(model: str, sweep: object, sweep_file: Path | None, home: Path) -> SweepSpec:
    """The sweep file that was named, or that of the sweep which the model is of."""
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.spaces.files.errors import Problem, UserError

    if sweep_file is not None:
        return SweepSpec.load(sweep_file)
    found = stored(str(sweep), home) if sweep else None
    if found is None:
        which = f"sweep {sweep}, which is not in {home}" if sweep else "no sweep in the file"
        raise UserError(
            Problem("measured on which data?", file=model, found=which, hint="say so: --sweep SWEEP.yaml")
        )
    return found
