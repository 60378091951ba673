from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.sources.imported import Imported
from lossweep.trainers.data.sources.source import silent
from lossweep.trainers.data.spec import ImportSource

MODULE = """
import numpy as np, torch
from torch.utils.data import TensorDataset

def _sets(count, bands=3, size=40, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, bands, size, size), generator=generator).to(dtype)
    masks = torch.zeros(count, size, size, dtype=torch.int64)
    masks[:, 3:9, 4:12] = 1
    masks[:, 20:, 30:] = 255
    return images, masks

def tensors(count=4):
    return TensorDataset(*_sets(count)), TensorDataset(*_sets(2)), TensorDataset(*_sets(1))

def floats():
    images, masks = _sets(4, dtype=torch.float32)
    train = TensorDataset(images / 255, masks[:, None].float())
    return {"train": train, "val": TensorDataset(images / 255, masks)}

def samples():
    images, masks = _sets(3)
    def listed():
        pairs = zip(images, masks)
        return [{"image": image.numpy(), "mask": mask.numpy().astype("uint8")} for image, mask in pairs]
    return {"train": listed(), "val": listed()}

def pictures():
    from PIL import Image
    images, masks = _sets(3)
    drawn = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    pairs = list(zip(drawn, [Image.fromarray(mask.numpy().astype(np.uint8)) for mask in masks]))
    return pairs, pairs

def _paletted(mask, colors):
    from PIL import Image
    picture = Image.fromarray(mask.numpy().astype(np.uint8) % 255).convert("P")
    picture.putpalette(colors)
    return picture

def palette_images():
    _, masks = _sets(3)
    pairs = [(_paletted(mask, [0, 0, 0, 200, 100, 50]), mask.numpy()) for mask in masks]
    return pairs, pairs

def palette_masks():
    images, masks = _sets(3)
    pairs = [(image, _paletted(mask, [0, 0, 0, 9, 9, 9])) for image, mask in zip(images, masks)]
    return pairs, [(image, _paletted(mask, [9, 9, 9, 0, 0, 0])) for image, mask in zip(images, masks)]

def from_a_camera(columns=40):
    import io
    from PIL import Image
    _, masks = _sets(3)
    def taken(mask):
        picture, file = Image.new("RGB", (columns, 40)), io.BytesIO()
        exif = picture.getexif()
        exif[274] = 6
        picture.save(file, "JPEG", exif=exif)
        return Image.open(file), np.zeros((columns, 40), np.uint8) if columns != 40 else mask
    pairs = [taken(mask) for mask in masks]
    return pairs, pairs

def whites():
    images, masks = _sets(3)
    pairs = [(image, 255 * (mask == 1)) for image, mask in zip(images, masks)]
    return pairs, pairs

class Restless:
    def __len__(self): return 3
    def __getitem__(self, index): return torch.rand(3, 32, 32), torch.ones(32, 32, dtype=torch.uint8)

def restless(): return Restless(), Restless()

def broken():
    class Broken(Restless):
        def __getitem__(self, index):
            if index == 1: raise RuntimeError("the disk\\nis on fire")
            if index > 2: raise IndexError
            return torch.zeros(3, 32, 32, dtype=torch.uint8), torch.full((32, 32), 7 * index)
    return Broken(), Broken()

def mismatched(): return ([(np.zeros((3, 32, 32), np.uint8), np.zeros((32, 30), np.uint8))],) * 2
def nothing(): return None
def raising(): raise ValueError("no luck")
def unknown(): return {"training": []}
def endless(): return iter([]), iter([])
def ending(): raise SystemExit(3)
def flat(): return ([(np.zeros((3, 0, 32), np.uint8), np.zeros((0, 32), np.uint8))],) * 2

class Unreachable(Restless):
    def __len__(self): raise OSError("no network")

def unreachable(): return Unreachable(), Unreachable()

import functools
partial = functools.partial(tensors, count=3)

class Maker:
    def __call__(self): return tensors(3)

maker = Maker()
"""


@pytest.fixture
def module_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "their_data.py").write_text(MODULE)
    yield folder
    sys.modules.pop("their_data", None)
    if str(folder) in sys.path:
        sys.path.remove(str(folder))


def spec_of(folder: Path, function: str, **parameters: object) -> ImportSource:
    name = f"their_data:{function}"
    return ImportSource(source="import", function=name, path=str(folder), tile=32, parameters=parameters)


@pytest.mark.parametrize("function", ["tensors", "floats", "samples", "pictures"])
def test_datasets_of_all_shapes_are_read(module_folder: Path, tmp_path: Path, function: str) -> None:
    data = load_data(spec_of(module_folder, function), tmp_path / "cache")
    assert data.channels == 3
    batch = next(data.val.evaluation_batches(1, "cpu"))
    mask = np.zeros((40, 40), np.uint8)
    mask[3:9, 4:12], mask[20:, 30:] = 1, 255
    np.testing.assert_array_equal(batch.masks[0, :40, :40].numpy(), mask)
    generator = torch.Generator().manual_seed(0)
    count = {"tensors": 2, "floats": 4}.get(function, 3)
    wanted = torch.randint(0, 256, (count, 3, 40, 40), generator=generator)[0].flatten().double()
    found = batch.images[0, :, :40, :40].flatten().double()
    assert torch.corrcoef(torch.stack([wanted, found]))[0, 1] > 0.999
    assert len(data.test) == (1 if function == "tensors" else 0)


def test_parameters_and_version_are_part_of_the_key(module_folder: Path, tmp_path: Path) -> None:
    first = load_data(spec_of(module_folder, "tensors"), tmp_path)
    assert len(load_data(spec_of(module_folder, "tensors", count=7), tmp_path).train) == 7
    assert load_data(spec_of(module_folder, "tensors"), tmp_path).fingerprint == first.fingerprint
    load_data(spec_of(module_folder, "tensors").model_copy(update={"version": "2"}), tmp_path)
    assert len([path for path in (tmp_path / "data").iterdir() if path.is_dir()]) == 3


def test_what_the_function_imports_beside_it_is_part_of_the_key(module_folder: Path, tmp_path: Path) -> None:
    with (module_folder / "their_data.py").open("a") as file:
        file.write("\n\ndef edited():\n    import their_helper\n")
    keys = set[str]()
    for text in ("WIDTH = 3\n", "WIDTH = 4\n", "WIDTH = 4  # pixels\n"):
        (module_folder / "their_helper.py").write_text(text)
        source = Imported(spec_of(module_folder, "tensors"))
        keys.add(source.content_key(source.listing(), tmp_path, silent))
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("restless", r"restless train\[0\]: item differs each time"),
        ("broken", r"broken train\[1\]: item can't be used: RuntimeError: the disk is on fire"),
        ("broken", r"broken train\[2\]: mask holds a value that is no class; found 14 in 1024 pixels"),
        ("mismatched", "30 x 32 pixels; allowed: 32 x 32"),
        ("nothing", "must return a dict or tuple of train, val and test, but returned a NoneType"),
        ("raising", "raised ValueError: no luck"),
        ("unknown", "unknown splits training"),
        ("endless", "no length"),
        ("ending", "raised SystemExit: 3"),
        ("flat", r"flat train\[0\]: image has no pixels; found 32 x 0 pixels"),
        ("unreachable", "the length of the train dataset raised OSError: no network"),
        ("absent", "has no 'absent'"),
    ],
)
def test_what_is_wrong_is_said_in_the_users_words(
    module_folder: Path, tmp_path: Path, function: str, words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_data(spec_of(module_folder, function), tmp_path / "cache")
    assert all("\n" not in str(problem) for problem in caught.value.problems)


def test_a_palette_image_gives_its_colors(module_folder: Path, tmp_path: Path) -> None:
    data = load_data(spec_of(module_folder, "palette_images"), tmp_path / "cache")
    assert data.channels == 3


def test_palettes_of_masks_are_compared(module_folder: Path, tmp_path: Path) -> None:
    (problem,) = check_data(spec_of(module_folder, "palette_masks"), tmp_path / "cache").problems
    assert problem.file == "val[0]"
    assert "`function` (their_data:palette_masks) return one class index a pixel" in str(problem)
    assert "colors" not in (problem.hint or "")


def test_a_picture_that_is_shown_turned_is_suspicious(module_folder: Path, tmp_path: Path) -> None:
    suspicions = check_data(spec_of(module_folder, "from_a_camera"), tmp_path / "cache").suspicions
    assert any("shown turned by 90 degrees" in line and "exif_transpose" in line for line in suspicions)
    (problem, *_) = check_data(
        spec_of(module_folder, "from_a_camera", columns=64), tmp_path / "cache"
    ).problems
    assert "quarter turn" in str(problem)


def test_a_class_that_is_the_ignored_value_is_told_in_keys_that_exist(
    module_folder: Path, tmp_path: Path
) -> None:
    problems = check_data(spec_of(module_folder, "whites"), tmp_path / "cache").problems
    (said,) = [str(problem) for problem in problems]
    assert "if that is foreground, let `function` (their_data:whites) return 1 for it" in said
    assert "colors" not in said


@pytest.mark.parametrize("function", ["partial", "maker"])
def test_anything_that_can_be_called_will_do(module_folder: Path, tmp_path: Path, function: str) -> None:
    assert len(load_data(spec_of(module_folder, function), tmp_path / "cache").train) == 3


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no module named 'nowhere_to_be_found'"):
        load_data(ImportSource(source="import", function="nowhere_to_be_found:f"), tmp_path)
