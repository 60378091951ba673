"""Whether a sweep's verdict stands behind what is exported; and if not, why, and what to type."""

from __future__ import annotations

from lossweep.search.exporting.choice import Chosen
from lossweep.search.exporting.words import arm_words
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.result import ArmScores
from lossweep.search.verdicts.verdict import Verdict
from lossweep.spaces.files.errors import Problem
from lossweep.spaces.schedules.schedule import LossSchedule


def doubt(history: SweepHistory, chosen: Chosen, home: str = "") -> Problem | None:
    """Return why no verdict stands behind a choice, with the command that may change that; None: one does.

    A verdict stands behind one schedule, the simplest that the seeds can't tell from the best. Whether that
    beats the control, ties with it, or is the control itself: this is settled. Where it can't be told yet
    who is ahead, nothing is.

    Args:
        history: the sweep.
        chosen: what is to be used, from `search.exporting.choice.choose`.
        home: what a command needs to find the sweep: nothing, or its option.
    """
    name, verdict = history.name, chosen.verdict
    go_on = f"go on with it: lossweep resume {name}{home}"
    if history.confirmation is None:
        lead = f"sweep {name} was not confirmed: the lead of trial {chosen.trial.number} is one seed's"
        return Problem(lead, hint=f"to confirm it: lossweep confirm {name}{home}")
    if verdict is None:
        few = "not every leader and the control have two trainings with a score"
        return Problem(f"the confirmation of sweep {name} has no verdict: {few}", hint=go_on)
    if not verdict.complete:
        return Problem(f"the confirmation of sweep {name} is not complete", hint=go_on)
    judged, settled = verdict.headline.judged, verdict.simplest
    if judged.verdict is Verdict.CANNOT_TELL:
        message = f"the confirmation of sweep {name} can't tell yet who is ahead"
        if judged.seeds_needed is None:
            return Problem(message, hint="more seeds than are reasonable would be needed")
        seeds = f"about {judged.seeds_needed} seeds may tell"
        return Problem(message, hint=f"{seeds}: lossweep confirm {name}{home} --seeds {judged.seeds_needed}")
    if chosen.scores is None or _trained(chosen.scores) != _trained(settled):
        message = f"the verdict on sweep {name} does not stand behind trial {chosen.trial.number}"
        return Problem(message, hint=f"it stands behind {arm_words(settled.arm)}, which is taken by itself")
    return None


def _trained(scores: ArmScores) -> tuple[LossSchedule, str | None]:
    """What an arm trains: one schedule may be several arms."""
    return scores.arm.schedule, scores.arm.baseline
