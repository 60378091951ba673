"""Models in files: what is written is read back, what earlier versions wrote too, and mistakes are named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.inference.model_files import load_model, save_model
from lossweep.trainers.plan import TrainingSpec
from tests.trainers.inference.models import BYTES, NEAR, TINY, untrained

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)


@pytest.mark.parametrize("model", [TINY, NEAR], ids=["smp", "own"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_holds_all_that_predicting_takes(
    model: Any, classes: int, suffix: str, tmp_path: Path
) -> None:
    normalization = BYTES.model_copy(update={"std": (1.0 / 3.0, 1e-7, 12.0)})
    segmenter = untrained(
        classes,
        model,
        threshold=-0.1234567890123,
        rule="highest F1",
        tile=96,
        training=TrainingSpec(precision="bfloat16", batch=3),
        provenance={"sweep": "cars", "trial": 3},
        normalization=normalization,
    )
    save_model(segmenter, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}", device="cpu")
    assert loaded.spec.model_dump(mode="json") == segmenter.spec.model_dump(mode="json")
    np.testing.assert_array_equal(loaded.logits([IMAGE])[0], segmenter.logits([IMAGE])[0])


def old_pt(folder: Path) -> Path:
    segmenter = untrained()
    said = {
        "format": "lossweep-model/1",
        "model": TINY.model_dump(mode="json"),
        "classes": segmenter.spec.classes,
        "channels": 3,
        "threshold": 0.25,
        "state_dict": segmenter.model.state_dict(),
    }
    torch.save(said, folder / "old.pt")
    return folder / "old.pt"


def old_safetensors(folder: Path) -> Path:
    said = {"format": "pt", "threshold": "0.25", "classes": "background,vehicle", "schedule": "dice x2"}
    tensors = {name: each.contiguous() for name, each in untrained().model.state_dict().items()}
    save_file(tensors, folder / "old.safetensors", metadata=said)
    return folder / "old.safetensors"


@pytest.mark.parametrize("written", [old_pt, old_safetensors])
def test_a_file_of_an_earlier_version_needs_its_sweep(written: Any, tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(UserError, match=r"the file holds no .*normalization.*--sweep SWEEP.yaml"):
        load_model(path)
    missing = {"normalization": BYTES.model_dump(mode="json"), "model": TINY.model_dump(mode="json")}
    loaded = load_model(path, missing=missing, device="cpu")
    assert loaded.spec.threshold == 0.25
    np.testing.assert_array_equal(loaded.logits([IMAGE])[0], untrained().logits([IMAGE])[0])


class Planted:
    """What would run if a file were unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


def test_a_mistake_is_named_and_nothing_is_run(tmp_path: Path) -> None:
    whole = tmp_path / "model.safetensors"
    save_model(untrained(), whole)
    (tmp_path / "torn.safetensors").write_bytes(whole.read_bytes()[:500])
    (tmp_path / "planted.pt").write_bytes(pickle.dumps({"state_dict": Planted()}))
    torch.save({"state_dict": {}}, tmp_path / "others.pt")
    torch.save({"state_dict": {}, "format": "lossweep-model/9"}, tmp_path / "later.pt")
    other = untrained()
    save_model(other, tmp_path / "mixed.pt")
    mixed = torch.load(tmp_path / "mixed.pt", weights_only=True)
    torch.save({**mixed, "model": {**mixed["model"], "options": {}}}, tmp_path / "mixed.pt")
    torch.save({**mixed, "threshold": "high", "classes": ["one"]}, tmp_path / "wrong.pt")
    for name, message in {
        "none.pt": "there is no such model",
        ".": "is a folder, not a model",
        "torn.safetensors": "no readable model",
        "planted.pt": "no readable model",
        "others.pt": "no model of lossweep; found none; allowed: lossweep-model/2",
        "later.pt": "found 'lossweep-model/9'",
        "mixed.pt": "the weights are not those of its model",
    }.items():
        with pytest.raises(UserError, match=message) as raised:
            load_model(tmp_path / name)
        assert str(tmp_path / name) in str(raised.value)
    with pytest.raises(UserError) as raised:
        load_model(tmp_path / "wrong.pt")
    assert [problem.key for problem in raised.value.problems] == ["classes", "threshold"]
