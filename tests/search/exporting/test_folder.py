"""A model as a folder: SMP loads it without a network, its card's code predicts, and nothing else is lost."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from lossweep.search.exporting.folder import check_folder, files_of, write_folder
from lossweep.search.exporting.operating import TrainedWeights
from lossweep.search.exporting.weights import segmenter_spec
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule_file import ScheduleFile, load_schedule
from lossweep.trainers.inference.model_files import load_model
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.plan import ModelSpec
from tests.search.exporting.exported_models import OWN, SMP, exported_model

Made = tuple[Segmenter, TrainedWeights, ScheduleFile]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def made(model: ModelSpec, *classes: str) -> Made:
        weights, exported = exported_model(tmp_path, model, *classes)
        segmenter = Segmenter.of(weights.model, segmenter_spec(weights, exported), device="cpu")
        return segmenter, weights, exported

    return made


def images(count: int = 2) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, 50, 70, 3), np.uint8)


@pytest.mark.parametrize("classes", [("background", "vehicle"), ("background", "vehicle", "truck")], ids=len)
def test_smp_loads_it_and_the_code_on_its_card_gives_the_same_masks(
    made: Any, classes: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, weights, exported = made(SMP, *classes)
    folder = tmp_path / "published"
    files = write_folder(folder, segmenter, weights, exported)
    assert set(files) == {"README.md", "model.safetensors", "config.json", "schedule.yaml"}
    assert files == files_of(folder)
    assert isinstance(smp.from_pretrained(str(folder)), smp.Unet)
    assert load_schedule(folder / "schedule.yaml") == exported
    wanted = segmenter.masks([*images()])
    np.testing.assert_array_equal(
        load_model(folder / "model.safetensors", device="cpu").masks([*images()]), wanted
    )
    found = masks_by_its_card(folder, monkeypatch)
    np.testing.assert_array_equal(found, wanted)
    assert len(np.unique(wanted)) > 1, "else any code would do"
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: segmentation-models-pytorch\n")


@pytest.mark.slow
def test_a_model_of_ones_own_loads_without_its_code(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, weights, exported = made(OWN, "background", "vehicle")
    folder = tmp_path / "published"
    assert "program.pt2" in write_folder(folder, segmenter, weights, exported)
    (tmp_path / "card_model.py").unlink()
    monkeypatch.setitem(sys.modules, "card_model", None)
    np.testing.assert_array_equal(masks_by_its_card(folder, monkeypatch), segmenter.masks([*images()]))


def masks_by_its_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    text = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"images": torch.from_numpy(images())}
    exec(code, names)
    return names["mask"].numpy()


def test_a_model_is_replaced_and_nothing_else_is(made: Any, tmp_path: Path) -> None:
    segmenter, weights, exported = made(SMP, "background", "vehicle")
    folder = tmp_path / "above" / "published"
    write_folder(folder, segmenter, weights, exported)
    (folder / "model.onnx").write_text("of the model before")
    write_folder(folder, segmenter, weights, exported)
    assert not (folder / "model.onnx").exists()
    assert sorted(each.name for each in folder.parent.iterdir()) == ["published"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds something else already, such as notes\.txt"):
        write_folder(folder, segmenter, weights, exported)
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("my project")
    with pytest.raises(UserError, match=r"holds a README\.md that is of no model"):
        check_folder(project)
    with pytest.raises(UserError, match="is a file"):
        check_folder(project / "README.md")
    with pytest.raises(UserError, match=r"README\.md is a file"):
        check_folder(project / "README.md" / "below")
    assert (project / "README.md").read_text() == "my project"


def test_a_model_that_could_not_be_written_leaves_nothing(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> str:
        raise RuntimeError("no card")

    monkeypatch.setattr("lossweep.search.exporting.folder.folder_card", fails)
    with pytest.raises(RuntimeError, match="no card"):
        write_folder(tmp_path / "above" / "published", *made(SMP, "background", "vehicle"))
    assert list((tmp_path / "above").iterdir()) == []
