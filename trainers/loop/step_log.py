"""The training figures between two evaluations, read from the device some steps at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from lossweep.trainers.loop.optimization import StepTensors

INTERVAL = 16
"""Steps between two reads. Reading waits for the device; verdicts name the exact step all the same."""


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step's figures on the host.

    Attributes:
        step: optimizer steps done with it, from 1.
        loss: the total.
        comparable: the loss with its ramps at their ends; the loss itself when it has none.
        gradient_norm: L2, before clipping.
        skipped: the float16 scaler left the step out, as it does until its scale fits.
    """

    step: int
    loss: float
    comparable: float
    gradient_norm: float
    skipped: bool = False


@dataclass(slots=True)
class StepLog:
    """Collects steps; `read` hands them over, `losses` and `gradient_norm` are means since the last `reset`.

    Attributes:
        scaled: whether gradients are scaled (float16), so that steps with non-finite ones are skipped.
    """

    scaled: bool = False
    _waiting: list[tuple[int, StepTensors]] = field(default_factory=list)
    _sums: dict[str, float] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, step: int, tensors: StepTensors) -> bool:
        """Take one step's tensors; returns whether it is time to read."""
        self._waiting.append((step, tensors))
        return len(self._waiting) >= INTERVAL

    def read(self) -> Sequence[StepFigures]:
        """Wait for the device once, and return the steps since the last read."""
        if not self._waiting:
            return ()
        names = list(self._waiting[0][1].parts)
        rows = torch.stack(
            [
                torch.stack([*(tensors.parts[name] for name in names), *tensors.others]).float()
                for _, tensors in self._waiting
            ]
        ).tolist()
        figures = [
            self._figures(step, names, row) for (step, _), row in zip(self._waiting, rows, strict=True)
        ]
        self._waiting.clear()
        return figures

    @property
    def losses(self) -> dict[str, float]:
        """Mean of each term's weighted value, and of their ``total``, over the steps where it was finite."""
        return {name: self._mean(name) for name in self._sums if name != ""}

    @property
    def gradient_norm(self) -> float:
        """Mean norm over the steps where it was finite."""
        return self._mean("")

    def reset(self) -> None:
        """Begin the means anew."""
        self._sums.clear()
        self._counts.clear()

    def _figures(self, step: int, names: Sequence[str], row: Sequence[float]) -> StepFigures:
        parts, norm = row[: len(names)], row[len(names)]
        loss = sum(parts)
        comparable = row[-1] if len(row) > len(names) + 1 else loss
        means = {**dict(zip(names, parts, strict=True)), "total": loss, "": norm}
        for name, value in means.items():
            if math.isfinite(value):
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1
        skipped = self.scaled and not math.isfinite(norm)
        return StepFigures(step, loss, comparable, norm, skipped)

    def _mean(self, name: str) -> float:
        return self._sums.get(name, 0.0) / max(self._counts.get(name, 0), 1)
