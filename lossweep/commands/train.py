"""``lossweep train``: train one exported schedule."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import WorkspaceFolder, check_output

if TYPE_CHECKING:
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.schedules.schedule_file import ScheduleFile
    from lossweep.trainers.data.spec import SplitName
    from lossweep.trainers.evaluation import Evaluation


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
    workspace: WorkspaceFolder = None,
) -> None:
    """Train an exported schedule and save the model with its threshold.

    Data, model and training settings are those of the sweep it comes from, or of another sweep file.
    """
    from lossweep.search.conducting.plans import template_of
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import LossweepError, Problem, UserError
    from lossweep.spaces.metrics import shown_in
    from lossweep.spaces.schedules.schedule_file import load_schedule
    from lossweep.trainers.inference.model_files import save_model
    from lossweep.trainers.inference.segmenter import Segmenter, spec_of
    from lossweep.trainers.loop.checkpoints import CheckpointStore
    from lossweep.trainers.loop.measurement import evaluate_split
    from lossweep.trainers.loop.rehearsal import rehearse_model
    from lossweep.trainers.loop.retrieval import trained_model
    from lossweep.trainers.loop.training import train as train_trial
    from lossweep.trainers.scoring.objectives import score
    from lossweep.trainers.scoring.operating_points import operating_point
    from lossweep.trainers.trial import SegmentationTrainer

    check_output(output)
    where = Workspace.at(workspace)
    chosen = load_schedule(schedule_file)
    spec = _setting(chosen, sweep_file, where)
    if chosen.classes is not None and chosen.classes != spec.data.classes:
        raise UserError(
            Problem(
                "the schedule was found for other classes",
                file=str(schedule_file),
                key="classes",
                found=", ".join(chosen.classes),
                allowed=", ".join(spec.data.classes),
            )
        )
    schedule = chosen.with_budget(epochs or chosen.budget)
    used_seed = seed if seed is not None else int(chosen.provenance.get("seed", spec.seed))
    control = chosen.provenance.get("control")
    plan = replace(template_of(spec), epochs=schedule.budget).plan(0, used_seed, schedule, control=control)
    store = CheckpointStore(where.trainings)
    data = SegmentationTrainer(spec.data, where.cache, None).data()
    sizes: dict[SplitName, tuple[tuple[int, int], ...]] = {"val": data.val.sizes, "test": data.test.sizes}
    rehearsed = rehearse_model(plan.model, plan.training, data.prior, data.channels, plan.data.tile, sizes)
    for suspicion in rehearsed.suspicions:
        typer.echo(f"suspicious: {suspicion}", err=True)
    evaluations = []
    for evaluation in train_trial(plan, data, store):
        typer.echo(evaluation_line(evaluation))
        evaluations.append(evaluation)
    if evaluations[-1].verdict is not None:
        raise LossweepError(f"the training diverged: {evaluations[-1].verdict.message}")
    # By the rule that scored it in the sweep: the best of the ends of its cycles, on validation.
    taken = score(spec.objective, evaluations)
    best = taken.evaluation if taken is not None else evaluations[-1]
    point = operating_point(spec.objective, best)
    model = trained_model(plan, data, store, best.step)
    if model is None:
        raise LossweepError(f"the trained weights are gone from {store.folder}")
    known = {"sweep": spec.name, "seed": used_seed, "schedule": str(schedule), "epoch": best.epoch}
    about = spec_of(spec.model, plan.training, data, point.threshold, point.rule, known)
    save_model(Segmenter.of(model, about, device="cpu"), output)
    found = f"the weights after epoch {best.epoch}, and the threshold {point.threshold:.4g} on logits"
    typer.echo(f"wrote {output}: {found} ({point.rule})")
    if test:
        if not len(data.test):
            raise UserError(Problem("these data have no test split"))
        # A meter calls tuned what holds at the given thresholds: here, with two classes, at the model's own.
        at: float | tuple[float, ...] = point.threshold
        said = "at that threshold"
        if not data.prior.is_binary:
            at = evaluate_split(model, data.val, data.prior, plan.measure, training=plan.training).thresholds
            said = "at each class's threshold of the highest validation F1"
        figures = evaluate_split(
            model, data.test, data.prior, plan.measure, at, training=plan.training
        ).metrics
        names = (metric.name for metric in shown_in("table", "tuned", "tuned_object", "curve"))
        told = ", ".join(f"{name.removeprefix('tuned_')} {figures[name]:.3f}" for name in names)
        typer.echo(f"test, {said}: {told}")


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
