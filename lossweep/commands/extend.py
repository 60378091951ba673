"""``lossweep extend``: give a finished trial more epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import JsonLog, MetricsPort, SweepName, SystemMetrics, WorkspaceFolder
from lossweep.commands.service import Cluster

if TYPE_CHECKING:
    from lossweep.search.study.history import SweepHistory, TrialHistory


def extend(
    name: SweepName,
    trial: Annotated[
        int, typer.Argument(metavar="TRIAL", help="The number of the trial.", show_default=False)
    ],
    epochs: Annotated[
        int,
        typer.Option("--epochs", min=2, help="In all: those that it has included.", show_default=False),
    ],
    workspace: WorkspaceFolder = None,
    system_metrics: SystemMetrics = False,
    metrics_port: MetricsPort = None,
    json_log: JsonLog = False,
    cluster: Cluster = None,
) -> None:
    """Give a trial more epochs than the sweep's budget: it goes on from its checkpoint, as a new trial.

    Cycles are followed by further ones, and a last phase at a constant rate goes on. One that is shaped over
    its length, such as a cosine, is stretched to the new end and trained anew; what comes before it is not.
    The new trial has more epochs than the others, so it is never ranked among them nor confirmed: extend the
    control as well for a fair comparison. Interrupted, the same command goes on with it.
    """
    from lossweep.commands.driving import drive
    from lossweep.commands.reading import existing, history_of, home_words, opened
    from lossweep.dashboards.extensions import extension_sentences
    from lossweep.search.conducting.settings import ExtendSettings
    from lossweep.search.study.outcomes import OutcomeKind
    from lossweep.spaces.files.errors import LossweepError

    where = existing(workspace)
    spec, history = opened(name, where)
    before = _extendable(history, trial, epochs, home_words(where))
    known = _extension(history, before, epochs)
    if known is not None and known.outcome.is_final:
        typer.echo(extension_sentences(history, home_words(where))[history.extensions.index(known)])
        return
    typer.echo(_what_is_trained(history, before, epochs, spec.training.evaluate_every))
    drive(
        spec,
        where,
        resume=True,
        system_metrics=system_metrics,
        metrics_port=metrics_port,
        json_log=json_log,
        extend=ExtendSettings(trial, epochs),
        cluster=cluster,
    )
    after = _extension(history_of(name, where), before, epochs)
    if after is None:  # nothing stands that has not failed
        raise LossweepError(f"the extension of trial {trial} failed: lossweep status {name} says why")
    if after.outcome is OutcomeKind.DIVERGED:
        raise LossweepError(f"the extension of trial {trial} diverged: {after.reason}")


def _extendable(history: SweepHistory, number: int, epochs: int, home: str) -> TrialHistory:
    """The trial, unless there is a reason against it."""
    from lossweep.search.study.outcomes import OutcomeKind
    from lossweep.spaces.files.errors import Problem, UserError

    trial = next((trial for trial in history.recorded if trial.number == number), None)
    if trial is None:
        count = len(history.recorded)
        allowed = f"0 to {count - 1}" if count else "none: no trial has started"
        message = f"sweep {history.name} has no such trial"
        raise UserError(Problem(message, key="TRIAL", found=str(number), allowed=allowed))
    go_on = f"lossweep resume {history.name}{home}"
    why, hint = "", None
    match trial.outcome:
        case OutcomeKind.DIVERGED:
            why = f"it diverged ({trial.reason}): more epochs of the same would diverge again"
        case OutcomeKind.FAILED:
            why, hint = "it failed", f"try it again: {go_on} --retry-failed"
        case OutcomeKind.RUNNING | OutcomeKind.INTERRUPTED | OutcomeKind.PAUSED:
            why, hint = f"it is {trial.outcome}, not over", f"go on with it: {go_on}"
    if why:
        raise UserError(Problem(f"trial {number} can't be extended: {why}", hint=hint))
    least = _budget(history, trial)
    if epochs <= least:
        message = f"trial {number} has a budget of {least} epochs already"
        raise UserError(
            Problem(message, key="--epochs", found=str(epochs), allowed=f"{least + 1} or more, in all")
        )
    return trial


def _budget(history: SweepHistory, trial: TrialHistory) -> int:
    return trial.schedule.epochs or history.budget_epochs


def _extension(history: SweepHistory, trial: TrialHistory, epochs: int) -> TrialHistory | None:
    """The trial that extends another one so far, unless it failed."""
    from lossweep.search.study.outcomes import OutcomeKind

    found = [each for each in history.extensions if each.extends == trial.number]
    found = [each for each in found if each.schedule.epochs == epochs]
    return next((each for each in found if each.outcome is not OutcomeKind.FAILED), None)


def _what_is_trained(history: SweepHistory, trial: TrialHistory, epochs: int, evaluate_every: int) -> str:
    """Which of the epochs need not be trained, and what becomes of the schedule."""
    from lossweep.spaces.schedules.common_prefix import common_epochs
    from lossweep.spaces.schedules.extending import extended, extension_words

    old = trial.schedule.with_budget(_budget(history, trial))
    new = extended(old, epochs)
    shared = min(trial.epochs, common_epochs(old, new, evaluate_every))
    return (
        f"Extending trial {trial.number} from {trial.epochs} to {epochs} epochs: "
        f"{extension_words(old, new)}. Not trained again: its first {shared} epochs, as far as their "
        f"checkpoints were kept.\nIt trains {new}"
    )
