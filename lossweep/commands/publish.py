"""``lossweep publish``: the winner as a model, registered in MLflow or as a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import (
    CHAMPION,
    Alias,
    Anyway,
    Floor,
    NominalBest,
    OtherTrial,
    RegisteredName,
    SweepName,
    WorkspaceFolder,
)
from lossweep.commands.registering import refused, tell_registered

if TYPE_CHECKING:
    from lossweep.search.study.history import SweepHistory
    from lossweep.search.upkeep.models import SweepModel
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import Problem


def publish(
    name: SweepName,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            help="Write the model into a folder that smp.from_pretrained loads, and register nothing.",
            show_default=False,
        ),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write it as ONNX; needs the extra 'onnx'.")
    ] = False,
    registered: RegisteredName = None,
    alias: Alias = CHAMPION,
    anyway: Anyway = False,
    trial: OtherTrial = None,
    nominal_best: NominalBest = False,
    at: Floor = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Register what a sweep found as a model in MLflow: images in, masks out at the tuned threshold.

    Only what the sweep's verdict stands behind is registered: the simplest schedule that the fresh seeds
    can't tell from the best. Nothing is sent anywhere but to the MLflow store that the sweep records in.
    """
    from lossweep.commands.reading import existing, history_of, home_words, spec_of
    from lossweep.search.exporting.choice import choose
    from lossweep.search.exporting.folder import check_folder
    from lossweep.search.exporting.operating import asked_point, floor_metric
    from lossweep.search.exporting.support import doubt as doubt_of
    from lossweep.search.service.messages import CLIENT_WORDS
    from lossweep.search.upkeep.models import model_of
    from lossweep.spaces.files.errors import Problem, UserError

    if to is not None and CLIENT_WORDS in os.environ:
        hint = f"load it from MLflow, or: lossweep export {name} --checkpoint FILE.safetensors"
        raise UserError(Problem("no folder comes back from a cluster", key="--to", found=str(to), hint=hint))
    if trial is not None and nominal_best:
        raise UserError(Problem("choose by one of --trial and --nominal-best"))
    where = existing(workspace)
    history = history_of(name, where)
    floor = floor_metric(at) if at is not None else None
    home = home_words(where)
    chosen = choose(history, number=trial, nominal_best=nominal_best, home=home)
    doubt = doubt_of(history, chosen, home)
    if to is None:
        from lossweep.dashboards.mlflow.registry import check_names

        check_names(registered or name, alias)
        if doubt is not None and not anyway:
            raise UserError(refused(doubt, "nothing was registered"))
    else:
        check_folder(to)
    if onnx:
        from lossweep.trainers.inference.onnx_file import check_onnx

        check_onnx()
    spec = spec_of(name, where)
    point = asked_point(floor, chosen.trial, spec, where) if floor is not None else None
    model = model_of(history, chosen, spec, where, point, device="cpu")
    for line in chosen.said:
        typer.echo(line, err=True)
    if to is not None:
        from lossweep.search.exporting.folder import write_folder

        files = write_folder(to, model.segmenter, model.weights, model.exported, onnx)
        typer.echo(f"wrote {to}: {', '.join(files)}")
    else:
        _register(model, history, where, registered or name, alias, doubt, onnx)


def _register(
    model: SweepModel,
    history: SweepHistory,
    workspace: Workspace,
    name: str,
    alias: str,
    doubt: Problem | None,
    onnx: bool,
) -> None:
    from tempfile import TemporaryDirectory

    from lossweep.dashboards.mlflow.publishing import publish as publish_model
    from lossweep.search.exporting.folder import write_folder

    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_folder(folder, model.segmenter, model.weights, model.exported, onnx)
        published = publish_model(
            model,
            folder,
            history,
            workspace.mlflow_uri,
            name=name,
            alias=alias,
            doubt=doubt,
            artifacts=workspace.artifacts,
        )
    tell_registered(f"trial {model.chosen.trial.number}", published, doubt, workspace)
