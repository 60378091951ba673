"""Weights leave with a card that says what they are, and code on it that loads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from lossweep.search.exporting.card import file_card
from lossweep.search.exporting.operating import TrainedWeights
from lossweep.search.exporting.weights import card_of, write_weights
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.plan import ModelSpec
from tests.search.exporting.exported_models import OWN, SMP, exported_model


@pytest.fixture
def made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[TrainedWeights, ScheduleFile]]:
    """Weights of a model for as many classes, and their schedule."""
    monkeypatch.syspath_prepend(tmp_path)
    return partial(exported_model, tmp_path)


@pytest.mark.parametrize("model", [SMP, OWN], ids=["smp", "own"])
@pytest.mark.parametrize("classes", [("background", "vehicle"), ("background", "vehicle", "truck")], ids=len)
def test_the_code_on_the_card_loads_the_weights_and_predicts(
    model: ModelSpec, classes: tuple[str, ...], made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, exported = made(model, *classes)
    card = write_weights(tmp_path / "best.safetensors", weights, exported)
    assert card == card_of(tmp_path / "best.safetensors") == tmp_path / "best.md"
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", card.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    images = torch.randn(2, weights.data.channels, 64, 64, generator=torch.Generator().manual_seed(0))
    names: dict[str, Any] = {"images": images}
    exec(code, names)
    with torch.no_grad():
        logits = weights.model(images)
    expected = logits.argmax(dim=1) if len(classes) > 2 else logits[:, 0] >= -0.25
    assert torch.equal(names["mask"], expected)
    assert len(expected.unique()) > 1, "else any code would do"
    with safe_open(tmp_path / "best.safetensors", "pt") as file:
        said = file.metadata()
        assert json.loads(said.pop("lossweep"))["normalization"]["mean"]
        assert said == {
            "format": "pt",
            "threshold": "-0.25",
            "classes": ",".join(classes),
            "schedule": "dice @1e-3 x2 | 2 epochs",
        }


def test_the_card_says_what_the_weights_are(made: Any) -> None:
    weights, exported = made(SMP, "background", "vehicle")
    card = file_card("best.safetensors", weights, exported)
    normalization = weights.data.val.normalization
    mean, std = normalization.mean, normalization.std
    rows = dict(re.findall(r"^\| ([^|]+) \| (.*) \|$", card, re.MULTILINE))
    assert card.startswith("# Unet for vehicle\n")
    assert rows["model"] == ("Unet of segmentation-models-pytorch, encoder tu-test_resnet, from scratch")
    assert rows["input"].startswith("3 bands, each normalized: (x - mean) / std, mean (")
    assert f"mean ({mean[0]:.6g}, " in rows["input"]
    assert rows["input"].endswith(f"{std[-1]:.6g})")
    assert rows["classes"] == "background, vehicle"
    assert rows["threshold"] == "-0.25 on logits, 0.4 as a probability (tuned_f1)"
    assert rows["trained with"] == "`dice @1e-3 x2 | 2 epochs`"
    assert rows["from"] == "sweep cards, trial 3, seed 11, lossweep 0.1.0"
    assert rows["tuned_f1"] == "0.6123"
    assert "(epoch 2)" in card
    assert "unconfirmed: it was chosen by this one seed's validation score" in card


def test_the_card_says_what_was_confirmed(made: Any) -> None:
    verdict = {"sentence": "It beats the control.", "seeds": 3, "margin": 0.005, "reads_before": 0}
    own = {"n": 3, "metric": "tuned_f1", "mean": 0.5, "deviation": 0.0125, "scores": [0.49, 0.5, 0.51]}
    once = {"n": 1, "metric": "tuned_f1", "mean": 0.4, "scores": [0.4], "diverged": 1}
    classes = ("background", "vehicle", "truck")
    weights, _ = made(OWN, *classes)

    def card(**told: Any) -> str:
        return file_card("w.safetensors", weights, made(OWN, *classes, **told)[1])

    spread = card(verdict=verdict, confirmed=own, against={"confirmed": once})
    assert "It beats the control.\n\n| test tuned_f1, fresh seeds | mean ± SD | seeds | each |" in spread
    assert "| this schedule | 0.500 ± 0.013 | 3 | 0.490, 0.500, 0.510 |" in spread
    assert "| the control | 0.400 | 1 (1 diverged) | 0.400 |" in spread
    assert "The verdict is of 1 test images and 3 seeds; a difference of 0.005 counts as none." in spread
    assert "had been read" not in spread
    again = card(verdict={**verdict, "reads_before": 6})
    assert "It beats the control.\n\n## Limits" in again
    assert "had been read 6 times before" in again
    assert "| threshold | none: the likeliest class is predicted |" in again
    assert "The threshold was chosen" not in again
    assert "| model | `card_model:build` |" in again
    pretrained = replace(
        weights, plan=replace(weights.plan, model=SMP.model_copy(update={"weights": "imagenet"}))
    )
    assert "encoder weights before training: imagenet" in file_card("w", pretrained, made(SMP, "a", "b")[1])


def test_the_card_says_where_the_limits_are(made: Any) -> None:
    weights, exported = made(SMP, "background", "vehicle")
    card = file_card("best.safetensors", weights, exported)
    limits = card.partition("## Limits\n\n")[2].partition("\n\n##")[0]
    assert "- Images must have 3 bands of uint8, with values as those of the training images." in limits
    assert "crops of 64 x 64 pixels" in limits
    assert "another may be right" in limits
    assert "Nothing says that another training by this schedule comes out as well" in limits
