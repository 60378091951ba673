"""``lossweep export``: what a sweep found as a file to train with, or as trained weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import (
    Floor,
    NominalBest,
    OtherTrial,
    Output,
    SweepName,
    WorkspaceFolder,
    check_output,
    write_output,
)

if TYPE_CHECKING:
    from lossweep.search.exporting.operating import AskedPoint


class Format(StrEnum):
    """How a schedule is written."""

    YAML = "yaml"
    JSON = "json"
    PYTHON = "python"


class Prefer(StrEnum):
    """What an export is for: `search.exporting.choice.Preference`, which ``--help`` need not wait for."""

    RECALL = "recall"
    PRECISION = "precision"
    F1 = "f1"
    OBJECT_F1 = "object_f1"


def export(
    name: SweepName,
    output: Output = None,
    trial: OtherTrial = None,
    nominal_best: NominalBest = False,
    prefer: Annotated[
        Prefer | None,
        typer.Option(
            "--prefer", help="Choose by this validation figure at the tuned threshold.", show_default=False
        ),
    ] = None,
    at: Floor = None,
    form: Annotated[
        Format, typer.Option("--format", help="YAML, JSON, or Python with a training loop.")
    ] = Format.YAML,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE.safetensors",
            help="Also write the trained weights, and their model card as FILE.md.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Write the best loss schedule of a sweep, with its threshold and where it comes from.

    After a confirmation, ties go to the simpler schedule: it is the simplest one that the seeds can't tell
    from the best. Of its trainings the one of the median validation score gives threshold and weights.
    Without --output it is printed.
    """
    from dataclasses import replace

    from lossweep.commands.reading import existing, history_of, home_words, spec_of
    from lossweep.search.exporting.choice import Preference, choose
    from lossweep.search.exporting.operating import asked_point, best_at, floor_metric, weights_of
    from lossweep.search.study.front import front_of
    from lossweep.search.upkeep.export import export as export_chosen
    from lossweep.spaces.files.errors import Problem, UserError

    if sum((trial is not None, nominal_best, prefer is not None)) > 1:
        raise UserError(Problem("choose by one of --trial, --nominal-best and --prefer"))
    where = existing(workspace)
    history = history_of(name, where)
    floor = floor_metric(at) if at is not None else None
    for path in (output, checkpoint):
        if path is not None:
            check_output(path)
    if checkpoint is not None and checkpoint.suffix != ".safetensors":
        raise UserError(
            Problem(
                "not a file of weights", key="--checkpoint", found=str(checkpoint), allowed="FILE.safetensors"
            )
        )
    spec = spec_of(name, where)
    point = None
    front = front_of(history) if floor is not None and trial is None and prefer is None else ()
    if floor is not None and front:
        best, point = best_at(floor, front, spec, where)
        chosen = replace(
            choose(history, number=best.number), said=(_of_front(best.number, len(front), point),)
        )
    else:
        chosen = choose(
            history,
            number=trial,
            nominal_best=nominal_best,
            prefer=Preference(prefer.value) if prefer is not None else None,
            home=home_words(where),
        )
        if floor is not None:
            point = asked_point(floor, chosen.trial, spec, where)
    exported = export_chosen(history, chosen, point)
    for line in chosen.said:
        typer.echo(line, err=True)
    match form:
        case Format.YAML:
            content = exported.to_yaml()
        case Format.JSON:
            content = exported.to_json() + "\n"
        case Format.PYTHON:
            from lossweep.search.conducting.plans import plan_of
            from lossweep.search.exporting.python_code import python_code

            content = python_code(exported, plan_of(spec, chosen.trial).training)
    if output is not None:
        write_output(output, content)
        hint = "" if form is Format.PYTHON else f"; train with it: lossweep train {output}"
        typer.echo(f"wrote {output}{hint}")
    elif checkpoint is None:
        # A file's content, wherever it goes: in the encoding of the files, not of the terminal.
        typer.echo(content.encode("utf-8"), nl=False)
    if checkpoint is not None:
        from lossweep.search.exporting.weights import write_weights

        card = write_weights(checkpoint, weights_of(chosen.trial, spec, where), exported)
        typer.echo(f"wrote {checkpoint}, and its model card {card}")


def _of_front(number: int, count: int, point: AskedPoint) -> str:
    return (
        f"Exported is trial {number}: of the {count} trials on the Pareto front it has the highest "
        f"{point.rule} on validation, {point.value:.3f}."
    )
