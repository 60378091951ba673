"""What passes between the driver and a worker. Imports little: a worker's start waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from lossweep.search.study.faults import Fault
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one trial. What a worker reports under an attempt that is over is ignored."""

    plan: TrialPlan
    attempt: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker sends at the end of a step: an evaluation, a fault, or neither when the trainer stopped.

    An object, not a dict: Tune flattens dicts.
    """

    attempt: str
    evaluation: Evaluation | None = None
    fault: Fault | None = None
