"""The story of one trial: what was proposed, what it reported, what was decided, where its files are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from lossweep.dashboards.numbers import number
from lossweep.dashboards.report.plots.cost import seconds_words
from lossweep.dashboards.result import confirmed_control
from lossweep.dashboards.terminal.fitted_table import Column, FittedTable
from lossweep.dashboards.terminal.tables import FIGURES, described, figures, outcome
from lossweep.search.ledger import Attempt
from lossweep.search.study.alike import alike, without_gradient
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.verdicts.sentence import arm_words
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.evaluation import HeldOutScore
from lossweep.trainers.loop.checkpoint_storage import Place
from lossweep.trainers.loop.wall_time import DATA, TRAINING


def why(
    history: SweepHistory,
    chosen: int,
    *,
    attempts: Sequence[Attempt] = (),
    checkpoints: Sequence[Place] = (),
    run: str | None = None,
) -> RenderableType:
    """Return all that is known of one trial: proposal, evaluations, each decision with its figures, its end.

    Args:
        history: the sweep.
        chosen: the trial's number.
        attempts: `search.ledger.Ledger.attempts` of it.
        checkpoints: `search.upkeep.checkpoints.checkpoints_of` it.
        run: id of its MLflow run.

    Raises:
        UserError: the sweep has no trial of that number.
    """
    trial = next((trial for trial in history.recorded if trial.number == chosen), None)
    if trial is None:
        allowed = (
            f"0 to {len(history.recorded) - 1}" if history.recorded else "none yet: no trial has started"
        )
        raise UserError(
            Problem(f"sweep {history.name} has no such trial", found=str(chosen), allowed=allowed)
        )
    facts = {
        "schedule": str(trial.schedule),
        "proposed as": _proposed_as(history, trial),
        "seed": str(trial.seed) + _seed_index(trial),
        history.metric: number(trial.score) + ("" if trial.feasible else " (misses a constraint)"),
        "reason": trial.reason or "–",
        **({"epochs": trial.shares} if trial.shares else {}),
        **_tries(history, trial),
        **_rehearsed(history, trial),
        **({"own code": _code_words(trial)} if trial.code else {}),
        seconds_words(history): f"{trial.gpu_seconds:.1f}",
        **_time(trial),
        "checkpoint": f"{checkpoints[-1]} ({len(checkpoints)} in all)" if checkpoints else "none left",
        "MLflow run": run or "none",
    }
    parameters = {
        name: f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in trial.parameters.items()
    }
    parts: list[RenderableType] = [Text.assemble((f"Trial {trial.number}", "bold"), "  ", outcome(trial))]
    parts.append(described(facts))
    if parameters:
        parts += [Text(), Text("Parameters", style="bold"), described(parameters)]
    if trial.evaluations:
        parts += [Text(), Text("Evaluations", style="bold"), _evaluations(trial)]
    if trial.held_out is not None:
        parts += [Text(), Text("On the test split, at validation's threshold", style="bold")]
        parts.append(_held_out(trial.held_out))
    if trial.decisions:
        parts += [Text(), Text("Decisions", style="bold"), _decisions(trial)]
    if attempts:
        unended = "not over" if trial.outcome is OutcomeKind.RUNNING else "cut off with its driver"
        parts += [Text(), Text("Attempts", style="bold"), _attempts(attempts, unended)]
    if trial.traceback:
        parts += [Text(), Text(trial.traceback, style="red")]
    return Group(*parts)


def _proposed_as(history: SweepHistory, trial: TrialHistory) -> str:
    if trial.extends is not None:
        return f"trial {trial.extends} with {trial.schedule.epochs} epochs, more than the budget's"
    if trial.confirms is None:
        return f"control {trial.control}" if trial.control else "a proposal of the sampler"
    confirmation = history.confirmation
    arms = confirmation.plan.arms_of(trial) if confirmation is not None else ()
    if confirmation is None or not arms:
        return "a confirmation, of an earlier round: it is no arm of the newest"
    leaders = " and ".join(dict.fromkeys(f"trial {arm.trial}" for arm in arms))
    is_control = any(arm.role is Role.CONTROL for arm in arms)
    control = f"; the control is {confirmed_control(history)}" if is_control else ""
    return f"a confirmation of {leaders}: {arm_words(confirmation.plan, trial)}{control}"


def _tries(history: SweepHistory, trial: TrialHistory) -> dict[str, str]:
    """Of which failed trial this is another try, and which one was another try of it."""
    later = next((other.number for other in history.recorded if other.retries == trial.number), None)
    told = {"another try of": trial.retries, "tried again as": later}
    return {key: f"trial {number}" for key, number in told.items() if number is not None}


def _rehearsed(history: SweepHistory, trial: TrialHistory) -> dict[str, str]:
    """Which of its losses had been tried by another name, and which have no gradient where models start."""
    told = {
        "losses alike": "; ".join(map(str, alike(trial, history.recorded))),
        "no gradient at first": ", ".join(without_gradient(trial)),
    }
    return {key: words for key, words in told.items() if words}


def _time(trial: TrialHistory) -> dict[str, str]:
    """What the wall time went to, and how fast it was while it trained; nothing in ledgers of before."""
    noted = [evaluation for evaluation in trial.evaluations if evaluation.spent]
    seconds = Counter[str]()
    for evaluation in noted:
        seconds.update(evaluation.spent)
    whole, stepping = seconds.total(), seconds[TRAINING] + seconds[DATA]
    if not stepping:
        return {}
    images = sum(
        each.images_per_second * (each.spent.get(TRAINING, 0.0) + each.spent.get(DATA, 0.0)) for each in noted
    )
    shares = ", ".join(
        f"{part} {of_part / whole:.0%}"
        for part, of_part in seconds.most_common()
        if round(100 * of_part / whole)
    )
    return {"time": f"{shares}; {images / stepping:.4g} images/s in training"}


def _code_words(trial: TrialHistory) -> str:
    return ", ".join(f"{path} {digest}" for path, digest in trial.code.items())


def _seed_index(trial: TrialHistory) -> str:
    return "" if trial.confirms is None else f", seed {trial.confirms + 1} of the confirmation"


def _held_out(read: HeldOutScore) -> RenderableType:
    facts = {read.metric: number(read.score)}
    facts |= {name: number(value) for name, value in read.metrics.items() if name != read.metric}
    thresholds = ", ".join(f"{threshold:.4g}" for threshold in read.thresholds)
    return described(facts | {"threshold": f"{thresholds} (on logits)"})


def _evaluations(trial: TrialHistory) -> FittedTable:
    table = FittedTable(Column("step"), Column("epoch"), Column("rate", extra=1), *FIGURES.values())
    before: tuple[int, int] | None = None
    for evaluation in trial.evaluations:
        place = (evaluation.cycle, evaluation.phase)
        phase = Text(f"cycle {evaluation.cycle + 1}, phase {evaluation.phase + 1}: {evaluation.loss_name}")
        table.add(
            str(evaluation.step),
            str(evaluation.epoch),
            f"{evaluation.learning_rate:.2g}",
            *figures(evaluation.metrics),
            above=None if place == before else phase,
        )
        before = place
    return table


def _decisions(trial: TrialHistory) -> FittedTable:
    table = FittedTable(Column("step"), Column("action", justify="left"), long="reason, and its figures")
    for decision in trial.decisions:
        figures = ", ".join(f"{name}={value:.4g}" for name, value in decision.figures.items())
        told = Text(decision.reason) + Text(f"  {figures}" if figures else "", style="dim")
        table.add(str(decision.step), decision.action, long=told)
    return table


def _attempts(attempts: Sequence[Attempt], unended: str) -> FittedTable:
    table = FittedTable(Column("started (UTC)"), Column("seconds"), Column("fault"), long="how it ended")
    for attempt in attempts:
        smaller = f"; micro-batch {attempt.micro_batch}" if attempt.micro_batch else ""
        seconds = (attempt.ended - attempt.started).total_seconds() if attempt.ended else None
        table.add(
            f"{attempt.started:%Y-%m-%d %H:%M:%S}",
            "–" if seconds is None else f"{seconds:.0f}",
            attempt.fault.value if attempt.fault else "–",
            long=Text((attempt.message or ("" if attempt.ended else unended)) + smaller),
        )
    return table
