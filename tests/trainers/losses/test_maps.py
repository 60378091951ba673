"""Losses that ask for what follows from masks: a user's own, with the trainer's maps and without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import Compound, CrossEntropy, ImportedLoss, WeightedTerm
from lossweep.trainers.gpu_rehearsal import OnGpu, loss_on_gpu
from lossweep.trainers.losses import build_loss, maps_needed, rehearse
from lossweep.trainers.maps.known import maps_of

TWO = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))

MODULE = """
from torch import nn

class Cellwise(nn.Module):
    maps = ("cells",)

    def forward(self, logits, target, maps):
        assert set(maps) == {"cells"}
        return (logits.squeeze(1) * maps["cells"].squeeze(1)).mean()

class Misspelt(Cellwise):
    maps = ("sells",)

class Wrong(Cellwise):
    maps = 3

def made():
    return Cellwise()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "losses_of_cells.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "losses_of_cells", raising=False)
    return "losses_of_cells"


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.zeros(2, 8, 8, dtype=torch.uint8)
    target[:, 0, 0] = target[:, 7, 7] = 1
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), target


@pytest.mark.parametrize("name", ["Cellwise", "made"])
def test_a_loss_of_ones_own_asks_by_name(module: str, name: str) -> None:
    loss = build_loss(ImportedLoss(term=f"{module}:{name}"), TWO)
    assert loss.maps == ("cells",)
    logits, target = batch()
    cells = maps_of(target, ("cells",), 2)["cells"]
    expected = (logits * cells).mean()
    torch.testing.assert_close(loss(logits, target), expected)  # computed from the target
    torch.testing.assert_close(loss(logits, target, {"cells": cells, "more": cells}), expected)
    torch.testing.assert_close(loss(logits, target, {"cells": cells + 1}), (logits * (cells + 1)).mean())
    assert rehearse(ImportedLoss(term=f"{module}:{name}"), TWO) == []
    assert loss_on_gpu(ImportedLoss(term=f"{module}:{name}"), TWO) == OnGpu()


def test_what_is_asked_for_is_that_of_all_terms(module: str) -> None:
    own = ImportedLoss(term=f"{module}:Cellwise")
    assert maps_needed([CrossEntropy()], TWO) == ()
    both = Compound(sum=(WeightedTerm(loss=CrossEntropy()), WeightedTerm(loss=own)))
    assert maps_needed([CrossEntropy(), both], TWO) == ("cells",)


@pytest.mark.parametrize(("name", "found"), [("Misspelt", "sells"), ("Wrong", "int")])
def test_maps_that_there_are_not_are_refused(module: str, name: str, found: str) -> None:
    loss = ImportedLoss(term=f"{module}:{name}")
    with pytest.raises(UserError) as raised:
        build_loss(loss, TWO)
    (problem,) = raised.value.problems
    assert problem.found == found
    assert "cells" in (problem.allowed or "")
    assert rehearse(loss, TWO)
