"""``lossweep train``: train one exported schedule."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import (
    CHAMPION,
    Alias,
    Anyway,
    RegisteredName,
    WorkspaceFolder,
    check_output,
)
from lossweep.commands.registering import check_registration, refused, tell_registered

if TYPE_CHECKING:
    from lossweep.dashboards.mlflow.retrained import TrainedModel
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import Problem
    from lossweep.spaces.schedules.schedule_file import ScheduleFile
    from lossweep.trainers.data.loading import SegmentationData
    from lossweep.trainers.data.spec import SplitName
    from lossweep.trainers.evaluation import Evaluation
    from lossweep.trainers.plan import TrialPlan


def train(
    schedule_file: Annotated[
        Path, typer.Argument(metavar="BEST.yaml", help="From lossweep export.", show_default=False)
    ],
    sweep_file: Annotated[
        Path | None,
        typer.Option(
            "--sweep", help="Sweep file with data, model and training.", show_default="its own sweep's"
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the model.")] = Path(
        "model.pt"
    ),
    seed: Annotated[
        int | None, typer.Option(help="Of the training.", show_default="the exported one")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How long to train.", show_default="as exported")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Also measure the test split, once, at the end.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            help="Also write the model into a folder that smp.from_pretrained loads.",
            show_default=False,
        ),
    ] = None,
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Then register the model in MLflow, if a verdict stands behind it."),
    ] = False,
    registered: RegisteredName = None,
    alias: Alias = CHAMPION,
    anyway: Anyway = False,
    workspace: WorkspaceFolder = None,
) -> None:
    """Train an exported schedule and save the model with its threshold.

    Data, model and training settings are those of the sweep it comes from, or of another sweep file. With
    --publish the training becomes a run in MLflow and its model a registered version: only where a verdict
    stands behind the schedule, and it is trained as it was confirmed, whatever the seed.
    """
    from lossweep.search.exporting.folder import check_folder, write_folder
    from lossweep.search.exporting.retraining import (
        retrained_schedule,
        retrained_segmenter,
        retraining_plan,
        test_split_figures,
        train_again,
    )
    from lossweep.search.exporting.retraining_support import schedule_doubt, training_doubt
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.spaces.schedules.schedule_file import load_schedule
    from lossweep.trainers.inference.model_files import save_model
    from lossweep.trainers.loop.checkpoints import CheckpointStore
    from lossweep.trainers.trial import SegmentationTrainer

    check_output(output)
    if to is not None:
        check_folder(to)
    where = Workspace.at(workspace)
    chosen = load_schedule(schedule_file)
    spec = _setting(chosen, sweep_file, where)
    _check_classes(chosen, spec, schedule_file)
    check_registration(publish, registered, alias, anyway, spec.name)
    strict = publish and not anyway
    if strict and (doubt := schedule_doubt(chosen)) is not None:  # before data are read for nothing
        raise UserError(_refused(doubt, schedule_file))
    if publish:
        from lossweep.dashboards.mlflow.address import check_store

        check_store(where.mlflow_uri)
    plan = retraining_plan(chosen, spec, seed, epochs)
    data = SegmentationTrainer(spec.data, where.cache, None).data()
    if (doubt := training_doubt(chosen, plan, data.fingerprint)) is not None and strict:
        raise UserError(_refused(doubt, schedule_file))
    if test and not len(data.test):
        raise UserError(Problem("these data have no test split", key="--test"))
    _rehearse(plan, data)
    started = datetime.now(UTC)
    retrained = train_again(
        plan, data, spec, CheckpointStore(where.trainings), lambda each: typer.echo(evaluation_line(each))
    )
    segmenter, point = retrained_segmenter(retrained, spec.name), retrained.point
    save_model(segmenter, output)
    found = f"the weights after epoch {retrained.weights.scored.epoch}"
    typer.echo(f"wrote {output}: {found}, and the threshold {point.threshold:.4g} on logits ({point.rule})")
    figures = test_split_figures(retrained) if test else None
    if figures is not None:
        _say_test(figures, data.prior.is_binary)
    exported = retrained_schedule(chosen, spec, retrained, doubt)
    if to is not None:
        files = write_folder(to, segmenter, retrained.weights, exported)
        typer.echo(f"wrote {to}: {', '.join(files)}")
    if publish:
        from lossweep.dashboards.mlflow.retrained import TrainedModel

        trained = TrainedModel(retrained, exported, segmenter, spec.name, started, figures)
        _register(trained, where, registered or spec.name, alias, doubt)


def _check_classes(chosen: ScheduleFile, spec: SweepSpec, file: Path) -> None:
    from lossweep.spaces.files.errors import Problem, UserError

    if chosen.classes is not None and chosen.classes != spec.data.classes:
        raise UserError(
            Problem(
                "the schedule was found for other classes",
                file=str(file),
                key="classes",
                found=", ".join(chosen.classes),
                allowed=", ".join(spec.data.classes),
            )
        )


def _refused(doubt: Problem, file: Path) -> Problem:
    return replace(refused(doubt, "nothing was trained"), file=str(file))


def _rehearse(plan: TrialPlan, data: SegmentationData) -> None:
    """Say what looks wrong with the model on these data, before it is trained."""
    from lossweep.trainers.loop.rehearsal import rehearse_model

    sizes: dict[SplitName, tuple[tuple[int, int], ...]] = {"val": data.val.sizes, "test": data.test.sizes}
    rehearsed = rehearse_model(plan.model, plan.training, data.prior, data.channels, plan.data.tile, sizes)
    for suspicion in rehearsed.suspicions:
        typer.echo(f"suspicious: {suspicion}", err=True)


def _say_test(figures: Mapping[str, float], binary: bool) -> None:
    from lossweep.spaces.metrics import shown_in

    at = "at that threshold" if binary else "at each class's threshold of the highest validation F1"
    names = (metric.name for metric in shown_in("table", "tuned", "tuned_object", "curve"))
    told = ", ".join(f"{name.removeprefix('tuned_')} {figures[name]:.3f}" for name in names)
    typer.echo(f"test, {at}: {told}")


def _register(
    trained: TrainedModel, workspace: Workspace, name: str, alias: str, doubt: Problem | None
) -> None:
    from tempfile import TemporaryDirectory

    from lossweep.dashboards.mlflow.retrained import publish_training
    from lossweep.search.exporting.folder import write_folder

    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_folder(folder, trained.segmenter, trained.retrained.weights, trained.exported)
        published = publish_training(
            trained,
            folder,
            workspace.mlflow_uri,
            name=name,
            alias=alias,
            doubt=doubt,
            artifacts=workspace.artifacts,
        )
    tell_registered("the model", published, doubt, workspace)


def _setting(chosen: ScheduleFile, sweep_file: Path | None, workspace: Workspace) -> SweepSpec:
    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import stored_spec
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.spaces.files.errors import Problem, UserError

    if sweep_file is not None:
        return SweepSpec.load(sweep_file)
    name = chosen.provenance.get("sweep")
    record = None
    if name and not workspace.is_new:
        with closing(Ledger(workspace.database_url, read_only=True)) as ledger:
            record = ledger.find(str(name))
    if record is None:
        found = f"sweep {name}, which is not in {workspace.root}" if name else "no sweep in its provenance"
        hint = "say what to train on: --sweep SWEEP.yaml"
        raise UserError(Problem("which data and which model?", found=found, hint=hint))
    return stored_spec(record)


def evaluation_line(evaluation: Evaluation) -> str:
    """Return an evaluation as one line of a training."""
    from lossweep.spaces.metrics import shown_in

    figures = "  ".join(
        f"{'tuned ' * (metric.group == 'tuned')}{metric.label} {evaluation.metrics[metric.name]:.3f}"
        for metric in shown_in("epoch")
        if metric.name in evaluation.metrics
    )
    return f"epoch {evaluation.epoch}/{evaluation.epochs}  {evaluation.loss_name}  {figures}".rstrip()
