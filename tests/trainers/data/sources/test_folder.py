from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.sources.dividing import divide
from lossweep.trainers.data.sources.images import read_picture
from lossweep.trainers.data.sources.picture import as_image
from lossweep.trainers.data.spec import FolderSource, Fractions
from lossweep.trainers.data.store.decoded import Store

WritePair = Callable[[Path, str, np.ndarray, np.ndarray], None]


def png16(path: Path, pixels: np.ndarray) -> None:
    """Write a 16-bit PNG of several bands, which Pillow can't (PNG specification, 5.3 and 11.2.2)."""
    height, width, bands = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def whole(data: SegmentationData, split: str = "train") -> list[tuple[np.ndarray, np.ndarray]]:
    """(image, mask) as evaluated, in order."""
    chosen = {"train": data.train, "val": data.val, "test": data.test}[split]
    found = {}
    for batch in chosen.evaluation_batches(1, "cpu"):
        height, width = chosen.sizes[batch.indices[0]]
        image = batch.images[0].permute(1, 2, 0).numpy()[:height, :width]
        found[batch.indices[0]] = (image, batch.masks[0].numpy()[:height, :width])
    return [found[index] for index in range(len(chosen))]


def test_a_folder_is_loaded_pixel_for_pixel(folder_spec: FolderSource, tmp_path: Path) -> None:
    data = load_data(folder_spec, tmp_path / "cache")
    assert (len(data.train), len(data.val), len(data.test)) == (3, 2, 1)
    assert data.channels == 3
    assert data.train.names == (
        "train/images/train0.png",
        "train/images/train1.png",
        "train/images/train2.png",
    )
    root = Path(folder_spec.root)
    originals = [np.asarray(Image.open(root / name), np.float32) for name in data.train.names]
    mean, std = np.mean(originals, axis=(0, 1, 2)), np.std(originals, axis=(0, 1, 2))
    for (image, mask), original, name in zip(whole(data), originals, data.train.names, strict=True):
        np.testing.assert_allclose(image, (original - mean) / std, atol=1e-4)
        np.testing.assert_array_equal(mask, np.asarray(Image.open(root / name.replace("images", "masks"))))
    assert data.prior.frequencies == pytest.approx((1 - 100 / 1920, 100 / 1920))
    assert re.fullmatch("sha256:[0-9a-f]{64}", data.fingerprint)


def test_fractions_divide_one_folder_by_groups(tmp_path: Path, write_pair: WritePair) -> None:
    root = tmp_path / "set"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32), np.uint8)
    for index in range(40):
        write_pair(root, f"site{index // 4}_{index}", pixels[index], np.eye(32, dtype=np.uint8))
    spec = FolderSource(
        source="folder",
        root=str(root),
        tile=32,
        split=Fractions(train=0.6, val=0.2, test=0.2, group=r"^site(\d+)"),
    )
    data = load_data(spec, tmp_path / "cache")
    sites = [
        {re.search(r"site\d+", name)[0] for name in split.names}
        for split in (data.train, data.val, data.test)
    ]  # type: ignore[index]  # every name matches
    assert [len(site) for site in sites] == [6, 2, 2]
    assert len(set.union(*sites)) == 10


@settings(max_examples=50)
@given(
    units=st.lists(st.text(min_size=1), min_size=3, max_size=60, unique=True),
    seed=st.integers(0, 9),
    test=st.sampled_from([0.0, 0.2]),
)
def test_dividing_leaves_no_split_empty_and_is_stable(units: list[str], seed: int, test: float) -> None:
    fractions = Fractions(train=0.8 - test, val=0.2, test=test, seed=seed)
    split_of = divide(units, fractions)
    assert set(split_of) == set(units)
    assert set(split_of.values()) == {"train", "val"} | ({"test"} if test else set())
    assert divide(reversed(units), fractions) == split_of
    more = divide([*units, "one more, surely new \0"], fractions)
    assert sum(more[unit] != split_of[unit] for unit in units) <= 3


def test_colors_become_classes(tmp_path: Path, write_pair: WritePair) -> None:
    colors = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [128, 128, 128]], np.uint8)
    expected = np.random.default_rng(0).integers(0, 4, (3, 32, 32))
    expected[:, 0, :4] = range(4)
    root = tmp_path / "set"
    for index, split in enumerate(("train", "val", "test")):
        write_pair(root / split, "a", np.zeros((32, 32), np.uint8) + index, colors[expected[index]])
    spec = FolderSource(
        source="folder",
        root=str(root),
        tile=32,
        classes=("ground", "car", "boat"),
        colors={"car": (255, 0, 0), "boat": (0, 0, 255), "ignore": 128},
    )
    ((_, mask),) = whole(load_data(spec, tmp_path / "cache"))
    np.testing.assert_array_equal(mask, np.array([0, 1, 2, 255])[expected[0]])


def test_grey_masks_of_0_and_255_are_read_when_said_so_and_refused_otherwise(
    tmp_path: Path, write_pair: WritePair
) -> None:
    root = tmp_path / "set"
    mask = np.zeros((32, 32), np.uint8)
    mask[3:9] = 255
    for split in ("train", "val"):
        write_pair(root / split, "a", np.zeros((32, 32), np.uint8), mask)
    spec = FolderSource(source="folder", root=str(root), tile=32)
    with pytest.raises(UserError, match=r"foreground.*no pixel.*192 pixels.*colors: \{foreground: 255\}"):
        load_data(spec, tmp_path / "cache")
    told = spec.model_copy(update={"colors": {"foreground": 255}})
    assert load_data(told, tmp_path / "cache").prior.frequencies[1] == pytest.approx(6 / 32)


def test_another_ignore_index_is_ignored(tmp_path: Path, write_pair: WritePair) -> None:
    root = tmp_path / "set"
    mask = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 3
    for split in ("train", "val"):
        write_pair(root / split, "a", np.zeros((32, 32), np.uint8), mask)
    data = load_data(
        FolderSource(source="folder", root=str(root), tile=32, ignore_index=2), tmp_path / "cache"
    )
    np.testing.assert_array_equal(whole(data)[0][1], np.array([0, 1, 255])[mask])


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {"planarconfig": "contig"},
        {"planarconfig": "separate"},
        {"planarconfig": "contig", "compression": "zlib"},
    ],
)
def test_tiffs_of_any_depth_and_bands_are_read(
    tmp_path: Path, bands: int, dtype: str, options: dict[str, str]
) -> None:
    pixels = (np.random.default_rng(0).random((9, 11, bands)) * 255).astype(dtype)
    stored = pixels if options["planarconfig"] == "contig" else np.moveaxis(pixels, -1, 0)
    if bands == 1:
        stored, options = (
            pixels[..., 0],
            {key: value for key, value in options.items() if key != "planarconfig"},
        )
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="minisblack", **options)
    image, notes = as_image(read_picture(tmp_path / "x.tif", 10**6))
    np.testing.assert_array_equal(image, pixels)
    assert image.dtype == dtype
    assert notes == ()


def test_lzw_tiffs_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(as_image(read_picture(tmp_path / "x.tif", 10**6))[0], pixels)
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11), np.uint16)
    Image.fromarray(deep).save(tmp_path / "y.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(as_image(read_picture(tmp_path / "y.tif", 10**6))[0][..., 0], deep)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_pngs_keep_their_16_bits(tmp_path: Path, bands: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 11, bands), np.uint16)
    png16(tmp_path / "x.png", pixels)
    picture = read_picture(tmp_path / "x.png", 10**6)
    image, _ = as_image(picture)
    visible = bands if bands % 2 else bands - 1  # the last of an even number is alpha
    np.testing.assert_array_equal(image, pixels[..., :visible])
    assert bool(picture.valid()[1]) == (bands % 2 == 0)


def test_sixteen_bit_data_reaches_the_batches_unharmed(tmp_path: Path, write_pair: WritePair) -> None:
    root = tmp_path / "set"
    pixels = np.random.default_rng(0).integers(0, 65536, (32, 32, 5), np.uint16)
    for split in ("train", "val"):
        write_pair(root / split, "a", np.zeros((32, 32), np.uint8), np.eye(32, dtype=np.uint8))
        (root / split / "images/a.png").unlink()
        tifffile.imwrite(
            root / split / "images/a.tif", pixels, photometric="minisblack", planarconfig="contig"
        )
    data = load_data(FolderSource(source="folder", root=str(root), tile=32), tmp_path / "cache")
    assert data.channels == 5
    wanted = pixels.astype(np.float64)
    wanted = (wanted - wanted.mean(axis=(0, 1))) / wanted.std(axis=(0, 1))
    np.testing.assert_allclose(whole(data)[0][0], wanted, atol=1e-3)
    crop = next(data.train.training_batches(0, 0, 1, "cpu")).images[0]
    assert 0.5 < crop.std() < 1.5


def test_float_bands_are_scaled_by_training_percentiles(tmp_path: Path, write_pair: WritePair) -> None:
    root = tmp_path / "set"
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        write_pair(root / split, "a", np.zeros((64, 64), np.uint8), np.eye(64, dtype=np.uint8))
        (root / split / "images/a.png").unlink()
        pixels = generator.normal([-3.0, 1e-4], [2.0, 1e-5], (64, 64, 2)).astype(np.float32)
        pixels[0, 0] = 1e9
        tifffile.imwrite(
            root / split / "images/a.tif", pixels, photometric="minisblack", planarconfig="contig"
        )
    spec = FolderSource(source="folder", root=str(root), tile=32, percentiles=(1.0, 99.0))
    data = load_data(spec, tmp_path / "cache")
    image, _ = whole(data, "val")[0]
    assert abs(np.median(image, axis=(0, 1))).max() < 0.2
    np.testing.assert_allclose(np.percentile(image, 75, axis=(0, 1)), 0.68, atol=0.12)
    store = Store.open(next(path for path in (tmp_path / "cache/data").iterdir() if path.is_dir()))
    assert store is not None
    assert store.meta.dtype == "uint16"
    np.testing.assert_allclose(
        [low for low, _ in store.meta.ranges], [-3.0 - 2 * 2.33, 1e-4 - 2.33e-5], rtol=0.1
    )


def test_images_of_several_sizes_live_together(tmp_path: Path, write_pair: WritePair) -> None:
    root = tmp_path / "set"
    for index, size in enumerate([(32, 40), (50, 33), (20, 20)]):
        for split in ("train", "val", "test"):
            image = np.full(size, 10 * index, np.uint8)
            write_pair(root / split, f"{split}{index}", image, np.eye(*size, dtype=np.uint8))
    data = load_data(FolderSource(source="folder", root=str(root), tile=32), tmp_path / "cache")
    assert data.train.sizes == ((32, 40), (50, 33), (20, 20))
    assert [batch.images.shape for batch in data.train.training_batches(0, 0, 2, "cpu")] == [
        (2, 1, 32, 32)
    ] * 2


def test_file_names_need_not_be_utf8(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    try:
        for kind in ("images", "masks"):
            (root / f"train/{kind}/train0.png").rename(root / f"train/{kind}" / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    data = load_data(folder_spec.model_copy(update={"split": None}), tmp_path / "cache")
    assert len(data.train) == 3
