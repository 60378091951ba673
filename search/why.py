"""Everything known of one trial, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from search.history import DecisionRecord, SweepHistory, TrialHistory
from search.ledger import Attempt
from spaces.errors import Problem, UserError


def why(
    history: SweepHistory,
    number: int,
    *,
    attempts: Sequence[Attempt] = (),
    checkpoints: Sequence[Path] = (),
    run: str | None = None,
) -> tuple[str, ...]:
    """What was proposed, each decision with its figures, each attempt, how it ended, and where its files are.

    Args:
        history: the sweep.
        number: the trial.
        attempts: `search.ledger.Ledger.attempts` of it.
        checkpoints: `search.checkpoint_care.checkpoints_of` it.
        run: its MLflow run.

    Raises:
        UserError: when there is no such trial.
    """
    trial = next((one for one in history.trials if one.number == number), None)
    if trial is None:
        raise UserError(Problem(f"sweep {history.name} has no such trial", found=str(number)))
    return tuple(_lines(history, trial, attempts, checkpoints, run))


def _lines(
    history: SweepHistory,
    trial: TrialHistory,
    attempts: Sequence[Attempt],
    checkpoints: Sequence[Path],
    run: str | None,
) -> Iterator[str]:
    kind = f"control {trial.control}" if trial.control else "proposal"
    yield f"trial {trial.number} of {history.name}: {kind}, seed {trial.seed}"
    yield f"schedule: {trial.schedule}"
    for name, value in trial.parameters.items():
        yield f"  {name} = {value:g}" if isinstance(value, float) else f"  {name} = {value}"
    yield f"started: {_moment(trial.started)}"
    for decision in trial.decisions:
        yield _decision(decision)
    for index, attempt in enumerate(attempts, 1):
        smaller = f", micro-batch {attempt.micro_batch}" if attempt.micro_batch else ""
        fault = f"{attempt.fault.value}: " if attempt.fault else ""
        span = f"{_moment(attempt.started)} to {_moment(attempt.ended)}"
        yield f"attempt {index}: {span}{smaller}; {fault}{attempt.message or 'not over'}"
    score = "" if trial.score is None else f", {history.metric} = {trial.score:.4g}"
    constraint = "" if trial.feasible or trial.score is None else " (infeasible)"
    yield f"end: {trial.outcome.value}{score}{constraint}; {trial.reason or 'no reason recorded'}"
    if trial.traceback:
        yield from trial.traceback.rstrip().splitlines()
    for checkpoint in checkpoints[-1:]:
        yield f"newest checkpoint: {checkpoint} ({len(checkpoints)} in all)"
    if run is not None:
        yield f"MLflow run: {run}"


def _decision(decision: DecisionRecord) -> str:
    figures = ", ".join(f"{name} = {value:.4g}" for name, value in decision.figures.items())
    return f"step {decision.step}: {decision.action}: {decision.reason}" + (
        f" [{figures}]" if figures else ""
    )


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
