"""ONNX: the same masks in ONNX Runtime, pixel by pixel, from files that say all that masks take."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lossweep.spaces.files.errors import LossweepError, UserError
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.inference import onnx_file
from lossweep.trainers.inference.onnx_file import check_onnx, onnx_logits, save_onnx
from lossweep.trainers.inference.spec import SegmenterSpec
from lossweep.trainers.plan import ModelSpec
from tests.trainers.inference.models import BYTES, NEAR, TINY, untrained
from tests.trainers.inference.test_program import BRANCHING, FLOATS, images_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "classes", "normalization"),
    [(TINY, 2, BYTES), (TINY, 3, BYTES), (TINY, 2, FLOATS), (NEAR, 2, BYTES)],
    ids=["two classes", "three classes", "float images", "own model"],
)
def test_masks_are_the_same_pixel_by_pixel(
    model: ModelSpec, classes: int, normalization: Normalization, tmp_path: Path
) -> None:
    segmenter = untrained(classes, model, normalization=normalization, threshold=0.03)
    save_onnx(segmenter, tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    seen = set[int]()
    for count, height, width in ((1, 64, 64), (3, 70, 131), (1, 17, 300)):
        images = images_of(normalization, count, height, width)
        for found, wanted in zip(
            onnx_logits(tmp_path / "model.onnx", images), segmenter.logits([*images]), strict=True
        ):
            np.testing.assert_allclose(found, wanted, atol=1e-4)
            np.testing.assert_array_equal(segmenter.mask_of(found), segmenter.mask_of(wanted))
            seen |= set(np.unique(segmenter.mask_of(wanted)).tolist())
    assert seen == set(range(classes)), "else any mask would do"


@pytest.mark.slow
def test_the_metadata_hold_the_threshold_the_classes_and_all_the_rest(tmp_path: Path) -> None:
    segmenter = untrained(2, NEAR, threshold=-0.25, provenance={"sweep": "s"})
    save_onnx(segmenter, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert float(said["threshold"]) == -0.25
    assert json.loads(said["classes"]) == ["background", "vehicle"]
    whole = json.loads(said["lossweep"])
    assert SegmenterSpec.model_validate_json(
        json.dumps({k: v for k, v in whole.items() if k != "format"})
    ) == (SegmenterSpec.model_validate_json(segmenter.spec.model_dump_json()))
    (shown,), (out,) = session.get_inputs(), session.get_outputs()
    assert (shown.name, shown.type, shown.shape) == (
        "images",
        "tensor(float)",
        ["images", 3, "height", "width"],
    )
    assert (out.name, out.shape[:2]) == ("logits", ["images", 1])


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "onnx_logits", lambda path, images: onnx_logits(path, images) + 0.1)
    with pytest.raises(LossweepError, match=r"lie 0\.1 from torch's"):
        save_onnx(untrained(2, NEAR), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_model_that_is_no_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torch can't export .*Branching as ONNX"):
        save_onnx(untrained(model=BRANCHING), tmp_path / "model.onnx")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "onnxruntime" else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(UserError, match=r"not installed; found onnxruntime; pip install 'lossweep\[onnx\]'"):
        check_onnx()


def test_the_model_is_left_as_it_was() -> None:
    segmenter = untrained(2, NEAR)
    before = {name: each.clone() for name, each in segmenter.model.state_dict().items()}
    onnx_file.whole_images(segmenter)
    assert all(torch.equal(before[name], each) for name, each in segmenter.model.state_dict().items())
