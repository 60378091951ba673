"""A sweep for what was found and wanted, as data: every part of the file, and why it is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossweep.search.starting.budget import Budget
from lossweep.search.starting.cutting import Cutting
from lossweep.search.starting.models import Choice
from lossweep.search.starting.wishes import Machine, Wishes
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.yaml_source import plain_source

_TRIED = {"trials": 1, "epochs": 1}
"""Of a sweep whose budget is yet to be found."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A sweep.

    Attributes:
        wishes: of the person.
        machine: that it is for.
        data: ``data:`` without its crops.
        cutting: of the images.
        choice: of the model.
        budget: None until it is found.
    """

    wishes: Wishes
    machine: Machine
    data: Mapping[str, Any]
    cutting: Cutting
    choice: Choice
    budget: Budget | None = None

    def sweep(self) -> dict[str, Any]:
        """What the file says, in its order."""
        budget = self.budget
        crops = self.cutting.covering if budget is None else budget.crops
        cycles = 4 if budget is None else max(1, min(4, budget.epochs // 4))
        spent = _TRIED if budget is None else {"trials": budget.trials, "epochs": budget.epochs}
        sweep: dict[str, Any] = {
            "name": self.wishes.name,
            "data": {**self.data, **self.cutting.keys(crops)},
            "model": self.choice.keys,
            "training": {"batch": self.choice.batch},
            "space": {"preset": "cycling", "cycles": {"low": 0, "high": cycles}},
            "objective": {"use_case": self.wishes.use_case},
            "budget": {**spent, "hours": self.wishes.hours},
        }
        if not self.machine.gpus:
            sweep["resources"] = {"parallel": self.machine.slots, "gpus_per_trial": 0}
        if budget is not None and budget.confirm is not None:
            sweep["confirm"] = budget.confirm
        return sweep

    def spec(self, base: Path) -> SweepSpec:
        """The same, checked; relative folders start at ``base``.

        Raises:
            UserError: it can't be a sweep.
        """
        return SweepSpec.read(plain_source(self.sweep()), base)
