"""The winner as a file: its schedule, its threshold, how it really went, and where it comes from."""

from __future__ import annotations

from typing import Any

from lossweep.search.exporting.choice import Chosen, choose
from lossweep.search.exporting.operating import AskedPoint
from lossweep.search.exporting.provenance import confirmed, control_confirmed
from lossweep.search.study.front import front_of, objective_of
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.metrics import shown_in
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.evaluation import realised
from lossweep.trainers.scoring.objectives import ObjectiveSpec, Score, score
from lossweep.trainers.scoring.operating_points import OperatingPoint, operating_point


def export_best(history: SweepHistory, number: int | None = None) -> ScheduleFile:
    """Return what a sweep comes to, or the trial of a number, as ``best.yaml`` holds it.

    With a verdict that is the simplest confirmed schedule that the seeds cannot tell from the best, without
    one the best trial of the search; see `search.exporting.choice`.

    Raises:
        UserError: when the sweep has no such trial, or none that was scored.
    """
    return export(history, choose(history, number=number))


def export(history: SweepHistory, chosen: Chosen, at: AskedPoint | None = None) -> ScheduleFile:
    """Return a chosen training as ``best.yaml`` holds it; ``.to_yaml()`` writes it.

    It holds the schedule with its budget of epochs, the threshold that its score holds at, as a probability
    and on logits, the phases as they really went, and as provenance the scores beside those of the control,
    how many were tried, and what the confirmation says. No path, no secret.

    Args:
        history: the sweep.
        chosen: which training.
        at: the operating point asked for, instead of the objective's.

    Raises:
        UserError: when the training was not scored.
    """
    trial = chosen.trial
    objective = objective_of(history)
    taken = score(objective, trial.evaluations)
    if taken is None:
        raise UserError(Problem(f"trial {trial.number} of sweep {history.name} has no score to export"))
    control = history.control()
    against = _against(objective, control) if control is not None else {}
    against |= control_confirmed(history, chosen)
    point = _point(objective, taken, chosen, at)
    return ScheduleFile(
        phases=trial.schedule.phases,
        cycles=trial.schedule.cycles,
        epochs=history.budget_epochs if trial.extends is None else trial.schedule.epochs,
        classes=history.prior.names,
        frequencies=history.prior.frequencies,
        threshold=point.probability,
        logit_threshold=point.threshold,
        realised=realised(trial.evaluations),
        provenance={
            "sweep": history.name,
            "trial": trial.number,
            **({"control": trial.control} if trial.control else {}),
            **({"extends": trial.extends} if trial.extends is not None else {}),
            "seed": trial.seed,
            "data": history.data_fingerprint,
            "lossweep": history.code_version,
            **({"code": dict(trial.code)} if trial.code else {}),
            "objective": history.objective,
            "scored_at_epoch": taken.evaluation.epoch,
            "threshold_of": point.rule,
            "scores": _scores(objective, taken),
            **({"at_threshold": at.figures} if at is not None and at.figures else {}),
            **({"preferred": chosen.preference.value} if chosen.preference is not None else {}),
            **({"front": [one.number for one in front]} if (front := front_of(history)) else {}),
            **({"against": against} if against else {}),
            **confirmed(history, chosen),
        },
    )


def _point(objective: ObjectiveSpec, taken: Score, chosen: Chosen, at: AskedPoint | None) -> OperatingPoint:
    """Where the exported model operates: as asked, or where what it was chosen by holds."""
    if at is not None:
        return OperatingPoint(at.threshold, at.rule)
    if chosen.preference is not None and not any("/" in name for name in taken.evaluation.metrics):
        return OperatingPoint(taken.evaluation.threshold, "highest F1")
    return operating_point(objective, taken.evaluation)


def _against(objective: ObjectiveSpec, control: TrialHistory) -> dict[str, Any]:
    taken = score(objective, control.evaluations)
    return {
        "control": control.control,
        "trial": control.number,
        "scores": _scores(objective, taken) if taken is not None else {},
    }


def _scores(objective: ObjectiveSpec, taken: Score) -> dict[str, float]:
    """Validation figures of the evaluation that the score was taken from."""
    beside = (metric.name for metric in shown_in("table", "pixel", "tuned"))
    metrics = taken.evaluation.metrics
    told = dict.fromkeys((*objective.watched, *beside))
    return {name: round(metrics[name], 6) for name in told if name in metrics}
