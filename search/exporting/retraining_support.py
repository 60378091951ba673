"""Whether the verdict on an exported schedule stands behind a training by it; and if not, why."""

from __future__ import annotations

from lossweep.search.exporting.setting import differences, setting_of
from lossweep.spaces.files.errors import Problem
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.plan import TrialPlan


def schedule_doubt(chosen: ScheduleFile) -> Problem | None:
    """Return why no verdict stands behind a schedule, as its file tells it; None: one does.

    It is what `search.exporting.support.doubt` said when the schedule was exported.
    """
    told = chosen.provenance
    sweep, verdict = told.get("sweep"), told.get("verdict")
    if sweep is None:
        return Problem("the schedule comes from no sweep", hint="lossweep export writes one that does")
    again = f"lossweep export {sweep} -o BEST.yaml"
    if verdict is None:
        message = f"sweep {sweep} had no verdict when the schedule was exported"
        return Problem(message, hint=f"once it has one: {again}; to confirm it: lossweep confirm {sweep}")
    if "doubt" in verdict:
        return Problem(verdict["doubt"], hint=f"for what a verdict stands behind: {again}")
    if "stands_behind" not in verdict:
        message = "an earlier version wrote the schedule file, which does not tell all that was confirmed"
        return Problem(message, hint=f"write it again: {again}")
    return None


def training_doubt(chosen: ScheduleFile, plan: TrialPlan, data: str) -> Problem | None:
    """Return why no verdict stands behind a training by a schedule; None: one does.

    A verdict is about a schedule as it was confirmed: with this data, model, settings and number of epochs,
    whatever the seed.

    Args:
        chosen: the schedule's file.
        plan: of the training.
        data: the fingerprint of what it trains on.
    """
    doubt = schedule_doubt(chosen)
    if doubt is not None:
        return doubt
    found = differences(chosen.provenance["verdict"]["stands_behind"], setting_of(plan, data))
    if not found:
        return None
    return Problem(f"what is trained is not what was confirmed: {'; '.join(found)}")
