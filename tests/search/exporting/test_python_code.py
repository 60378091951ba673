"""The Python that is exported runs by itself, and trains as the schedule says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from confirmed_sweeps import TOP_HEAVY, sweep
from torch import nn

from lossweep.search.exporting.python_code import python_code
from lossweep.search.upkeep.export import export_best
from lossweep.trainers.plan import TrainingSpec


def executed(training: TrainingSpec) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(python_code(export_best(sweep(TOP_HEAVY)), training), "best.py", "exec"), names)
    return names


@pytest.mark.parametrize("training", [TrainingSpec(), TrainingSpec(optimizer="sgd", clip_norm=None)])
def test_it_trains_a_model(training: TrainingSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(training)
    exported = export_best(sweep(TOP_HEAVY))
    assert names["SCHEDULE"].schedule == exported.schedule
    assert names["SCHEDULE"].realised == exported.realised
    assert exported.logit_threshold == names["THRESHOLD"]
    torch.manual_seed(0)
    model = nn.Conv2d(3, 1, 1)
    images = torch.rand(4, 3, 8, 8)
    masks = (images[:, 0] > 0.5).long()
    loader = [(images[:2], masks[:2]), (images[2:], masks[2:])]
    kind = torch.optim.SGD if training.optimizer == "sgd" else torch.optim.AdamW
    rates: list[float] = []
    step = kind.step

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(kind, "step", noted)
    before = model.weight.detach().clone()
    assert names["train"](model, loader) is model
    assert rates == pytest.approx([3e-3] * 4 + [1e-4] * 4)
    assert not torch.equal(before, model.weight)
