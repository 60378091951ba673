"""Maps kept with a store: computed once, whole or not at all, and cut along with the masks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stores import make_store

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.crops.placement import crops_of, place
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.spec import Augmentation, ScenesSource
from lossweep.trainers.data.store.decoded import Store
from lossweep.trainers.data.store.mask_maps import kept_map
from lossweep.trainers.maps.kinds.cells import Cells
from lossweep.trainers.maps.kinds.components import Components
from lossweep.trainers.maps.known import KNOWN_MAPS

SCENES = ScenesSource(source="scenes", train=6, val=3, test=2)
CELLS = KNOWN_MAPS["cells"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    load_data(SCENES, tmp_path)
    (folder,) = (path for path in (tmp_path / "data").iterdir() if path.is_dir())
    found = Store.open(folder)
    assert found is not None
    return found


def maps_in(store: Store) -> list[str]:
    assert store.folder is not None
    return sorted(path.name for path in (store.folder / "maps").iterdir())


def refuse(self: object, mask: np.ndarray, classes: int) -> np.ndarray:
    raise AssertionError("computed again")


@pytest.mark.parametrize("split", ["train", "val"])
def test_each_image_has_the_map_of_its_mask(store: Store, split: str) -> None:
    kept = kept_map(store, split, CELLS)
    first = 0
    for mask in store.masks_of(split):
        part = kept[first : first + mask.size].reshape(*mask.shape, -1)
        np.testing.assert_array_equal(part, CELLS.compute(np.asarray(mask), 2))
        first += mask.size
    assert first == len(kept)
    assert maps_in(store) == [f"cells-1.{split}.npy"]
    assert kept.dtype == np.uint8


def test_a_map_is_computed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kept_map(store, "train", CELLS)
    monkeypatch.setattr(Cells, "compute", refuse)
    np.testing.assert_array_equal(kept_map(store, "train", CELLS), first)
    monkeypatch.setattr(Cells, "version", 2)
    with pytest.raises(AssertionError, match="computed again"):
        kept_map(store, "train", CELLS)


@pytest.mark.parametrize("left", [0, 100, 5000])
def test_a_torn_map_is_computed_anew(store: Store, left: int) -> None:
    expected = np.array(kept_map(store, "train", CELLS))
    assert store.folder is not None
    file = store.folder / "maps/cells-1.train.npy"
    file.write_bytes(file.read_bytes()[:left])
    np.testing.assert_array_equal(kept_map(store, "train", CELLS), expected)


def test_what_a_killed_process_left_behind_is_cleared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from lossweep.trainers.data.store.decoded import Store\n"
        "from lossweep.trainers.data.store.mask_maps import kept_map\n"
        "from lossweep.trainers.maps.known import KNOWN_MAPS\n"
        "die = lambda stage, done, total: os._exit(9) if done == 4 else None\n"
        "kept_map(Store.open(Path(sys.argv[1])), 'train', KNOWN_MAPS['cells'], die)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(store.folder)], check=False)
    assert killed.returncode == 9
    assert maps_in(store) == ["cells-1.train.building"]
    kept_map(store, "train", CELLS)
    assert maps_in(store) == ["cells-1.train.npy"]


def test_processes_that_ask_at_once_compute_once(store: Store) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from lossweep.trainers.data.store.decoded import Store\n"
        "from lossweep.trainers.data.store.mask_maps import kept_map\n"
        "from lossweep.trainers.maps.known import KNOWN_MAPS\n"
        "count = []\n"
        "store = Store.open(Path(sys.argv[1]))\n"
        "kept = kept_map(store, 'train', KNOWN_MAPS['cells'], lambda *progress: count.append(1))\n"
        "print(len(count), int(kept.astype(int).sum()))"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(store.folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert sorted(int(count) for count, _ in printed) == [0, 6]
    assert len({total for _, total in printed}) == 1


@pytest.mark.parametrize(("largest", "dtype"), [(255, np.uint8), (256, np.int16), (32_768, np.int32)])
def test_numbers_are_kept_as_narrow_as_the_largest_allows(
    store: Store, monkeypatch: pytest.MonkeyPatch, largest: int, dtype: type[np.generic]
) -> None:
    def many(self: object, mask: np.ndarray, classes: int) -> np.ndarray:
        return np.where(mask == 1, largest, 7)[..., None].astype(np.int32)

    monkeypatch.setattr(Cells, "compute", many)
    kept = kept_map(store, "train", CELLS)
    assert kept.dtype == dtype
    masks = np.concatenate([mask.ravel() for mask in store.masks_of("train")])
    np.testing.assert_array_equal(kept[:, 0], np.where(masks == 1, largest, 7))
    assert maps_in(store) == ["cells-1.train.npy"]


def test_a_cache_that_cannot_be_written_is_the_users_error(store: Store) -> None:
    assert store.folder is not None
    (store.folder / "maps").write_text("a file")
    with pytest.raises(UserError, match="can't write the data cache"):
        kept_map(store, "train", CELLS)


def test_batches_carry_what_they_are_asked_for(tmp_path: Path) -> None:
    split = load_data(SCENES, tmp_path).train
    plain = list(split.training_batches(3, 1, 2, "cpu"))
    asked = list(split.training_batches(3, 1, 2, "cpu", ("cells",)))
    again = list(split.training_batches(3, 1, 2, "cpu"))
    for a, b, c in zip(plain, asked, again, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.masks, b.masks)
        assert not a.maps
        assert not c.maps
        assert b.maps["cells"].shape == (2, 1, split.tile, split.tile)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 2.0)])
def test_a_crop_shows_a_map_where_it_shows_the_mask(
    scale: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turned, mirrored, magnified and reaching over the edge."""
    random = np.random.default_rng(0)
    masks = [random.integers(0, 2, size).astype(np.uint8) for size in ((40, 50), (20, 33))]
    store = make_store([mask[..., None] for mask in masks], masks)
    monkeypatch.setattr(Cells, "compute", lambda self, mask, classes: mask[..., None].astype(np.int32) + 5)
    monkeypatch.setattr(Components, "compute", lambda self, mask, classes: mask[..., None] * np.float32(2))
    monkeypatch.setattr(Components, "dtype", np.float32)
    monkeypatch.setattr(Components, "is_length", True)
    monkeypatch.setattr(Components, "outside", -9.0)
    augment = Augmentation(scale=scale)
    split = Split(store, "train", 32, augment, 6)
    batches = list(split.training_batches(0, 0, 4, "cpu", ("cells", "components")))
    rows = np.arange(2)
    placed = place(store.items, rows, crops_of(store.items, rows, 32, 6), 32, augment, 0, 0)
    zooms = torch.from_numpy(placed.zooms[placed.order]).float()
    outside = 0
    for at, batch in enumerate(batches):
        beyond = batch.masks == 255
        assert torch.equal(batch.maps["cells"][:, 0], torch.where(beyond, 0, batch.masks.short() + 5))
        zoom = zooms[4 * at : 4 * at + 4, None, None]
        expected = torch.where(beyond, -9.0, 2.0 * batch.masks * zoom)
        torch.testing.assert_close(batch.maps["components"][:, 0], expected)
        outside += int(beyond.sum())
    assert outside > 100


def test_maps_that_are_asked_for_later_join_those_there_are(tmp_path: Path) -> None:
    split = load_data(SCENES, tmp_path).train
    device = torch.device("cpu")
    before = split._flat(device)
    split.prepare(("components",))
    after = split._flat(device)
    assert not before.maps
    assert list(after.maps) == ["components"]
    split.prepare(("components",))
    assert split._flat(device) is after
