from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import make_store

from lossweep.trainers.data.crops import batches
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.crops.cutting import Crops, Flat, Shape
from lossweep.trainers.data.spec import Augmentation
from lossweep.trainers.data.store.decoded import Meta, Store

PLAIN = Augmentation(flip=False, quarter_turns=False, brightness=0.0, contrast=0.0)


def numbered(height: int, width: int, start: int = 0) -> np.ndarray:
    """An image in which every pixel tells where it is."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, start)], axis=2).astype(np.uint16)


def striped(height: int, width: int) -> np.ndarray:
    return (np.add.outer(np.arange(height), 2 * np.arange(width)) % 5 == 0).astype(np.uint8)


def one_epoch(
    split: Split, seed: int = 0, epoch: int = 0, batch: int = 4
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    batches = list(split.training_batches(seed, epoch, batch, "cpu"))
    images = torch.cat([b.images for b in batches]).permute(0, 2, 3, 1).numpy()
    return images, torch.cat([b.masks for b in batches]).numpy(), [i for b in batches for i in b.indices]


def test_a_plain_crop_is_a_piece_of_its_image() -> None:
    sizes = [(40, 64), (64, 33), (32, 32)]
    images, masks = [numbered(h, w, i) for i, (h, w) in enumerate(sizes)], [striped(h, w) for h, w in sizes]
    crops, labels, indices = one_epoch(Split(make_store(images, masks), "train", 32, PLAIN, 4), batch=3)
    assert len(crops) == 12
    assert sorted(indices) == sorted([0, 1, 2] * 4)
    for crop, label, index in zip(crops, labels, indices, strict=True):
        top, left, which = crop[0, 0].astype(int)
        assert which == index
        np.testing.assert_array_equal(crop, images[index][top : top + 32, left : left + 32])
        np.testing.assert_array_equal(label, masks[index][top : top + 32, left : left + 32])


def test_every_position_is_reached() -> None:
    crops, _, _ = one_epoch(
        Split(make_store([numbered(34, 33)], [striped(34, 33)]), "train", 32, PLAIN, 200), batch=8
    )
    assert {(int(c[0, 0, 0]), int(c[0, 0, 1])) for c in crops} == {(r, c) for r in range(3) for c in range(2)}


def test_turned_crops_are_the_eight_symmetries_of_pieces() -> None:
    image, mask = numbered(40, 48), striped(40, 48)
    augment = Augmentation(brightness=0.0, contrast=0.0)
    crops, labels, _ = one_epoch(Split(make_store([image], [mask]), "train", 32, augment, 96), batch=8)
    seen = set()
    for crop, label in zip(crops, labels, strict=True):
        top, left = int(crop[..., 0].min()), int(crop[..., 1].min())
        piece, piece_mask = image[top : top + 32, left : left + 32], mask[top : top + 32, left : left + 32]
        fitting = [
            (turns, flip)
            for turns in range(4)
            for flip in (False, True)
            if np.array_equal(crop, _symmetry(piece, turns, flip))
            and np.array_equal(label, _symmetry(piece_mask, turns, flip))
        ]
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert len(seen) == 8


def _symmetry(pixels: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    turned = np.rot90(pixels, turns)
    return turned[:, ::-1] if flip else turned


def test_small_images_are_padded_with_ignored_pixels() -> None:
    image, mask = numbered(20, 50) + 1, striped(20, 50)
    crops, labels, _ = one_epoch(Split(make_store([image], [mask]), "train", 32, PLAIN, 12))
    for crop, label in zip(crops, labels, strict=True):
        inside = crop[..., 0] > 0
        assert inside.sum() == 20 * 32
        assert (label[~inside] == 255).all()
        assert (crop[~inside] == 0).all()
        left = int(crop[..., 1].max()) - 32
        np.testing.assert_array_equal(label[inside].reshape(20, 32), mask[:, left : left + 32])


def test_brightness_and_contrast_are_one_affine_change_of_each_crop() -> None:
    images = [np.full((32, 32, 2), 10, np.uint8), np.full((32, 32, 2), 20, np.uint8)]
    images[0][:16] = 30
    augment = Augmentation(brightness=0.5, contrast=0.4)
    store = make_store(images, [striped(32, 32)] * 2)
    crops, _, _ = one_epoch(Split(store, "train", 32, augment, 40), batch=8)
    factors = [np.ptp(crop) / 20 for crop in crops if np.ptp(crop) > 1]
    assert min(factors) < 0.8 < 1.2 < max(factors)
    assert all(0.6 - 1e-5 <= factor <= 1.4 + 1e-5 for factor in factors)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 500),
    batches=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0), (0.7, 0.9)]),
    bias=st.sampled_from([0.0, 0.5]),
)
def test_crops_depend_on_seed_epoch_and_index_only(
    seed: int, epoch: int, batches: tuple[int, int], scale: tuple[float, float], bias: float
) -> None:
    store = make_store([numbered(40, 50), numbered(33, 70)], [striped(40, 50), striped(33, 70)])
    augment = Augmentation(scale=scale, foreground_bias=bias)
    first = one_epoch(Split(store, "train", 32, augment, 9), seed, epoch, batches[0])
    used = Split(store, "train", 32, augment, 9)
    one_epoch(used, seed + 1, epoch)
    second = one_epoch(used, seed, epoch, batches[1])
    count = min(len(first[0]), len(second[0]))
    assert count >= 9
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[:count], other[:count])


def test_epochs_and_seeds_differ() -> None:
    split = Split(make_store([numbered(60, 60)], [striped(60, 60)]), "train", 32, Augmentation(), 8)
    base = one_epoch(split, 0, 0)[0]
    assert (base != one_epoch(split, 0, 1)[0]).any()
    assert (base != one_epoch(split, 1, 0)[0]).any()


def test_biased_crops_hold_a_pixel_of_the_foreground() -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[150, 20] = 1
    mask[3, 299] = 2
    empty = np.zeros((64, 64), np.uint8)
    images = [numbered(200, 300), numbered(64, 64)]
    for scale in ((1.0, 1.0), (0.6, 1.8)):
        augment = Augmentation(foreground_bias=1.0, scale=scale)
        split = Split(make_store(images, [mask, empty], classes=3), "train", 32, augment, 60)
        _, labels, indices = one_epoch(split, batch=8)
        found = [
            int(label.max(initial=0, where=label < 255))
            for label, i in zip(labels, indices, strict=True)
            if i == 0
        ]
        if scale == (1.0, 1.0):
            assert set(found) == {1, 2}
        else:  # a single pixel may fall between the samples of a shrunken crop
            assert np.mean(np.array(found) > 0) > 0.4
    unbiased = Split(make_store(images, [mask, empty], classes=3), "train", 32, Augmentation(), 60)
    assert np.mean([label.any() for label in one_epoch(unbiased, batch=8)[1]]) < 0.2


def test_scale_magnifies_about_the_pixel_grid() -> None:
    ramp = numbered(128, 128)
    mask = (ramp[..., 1] >= 64).astype(np.uint8)
    for zoom in (0.5, 2.0, 3.0):
        augment = PLAIN.model_copy(update={"scale": (zoom, zoom)})
        crops, labels, _ = one_epoch(Split(make_store([ramp], [mask]), "train", 32, augment, 16))
        for crop, label in zip(crops, labels, strict=True):
            inner = crop[2:-2, 2:-2]
            np.testing.assert_allclose(np.diff(inner[..., 0], axis=0), 1 / zoom, atol=1e-4)
            np.testing.assert_allclose(np.diff(inner[..., 1], axis=1), 1 / zoom, atol=1e-4)
            assert not (label == 255).any()
            np.testing.assert_array_equal(
                label[2:-2, 2:-2][abs(inner[..., 1] - 63.5) > 0.01],
                (inner[..., 1] >= 63.5)[abs(inner[..., 1] - 63.5) > 0.01],
            )


def test_default_crops_cover_the_area_once_and_skip_what_is_wholly_ignored() -> None:
    masks = [striped(64, 64), striped(40, 40), np.full((64, 64), 255, np.uint8)]
    split = Split(make_store([numbered(*mask.shape) for mask in masks], masks), "train", 32, PLAIN, None)
    assert split.crops == 4 + 2
    assert split.steps_per_epoch(4) == 1
    assert split.steps_per_epoch(100) == 1
    assert set(one_epoch(split, batch=6)[2]) == {0, 1}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_evaluation_shows_every_image_whole_and_once(dtype: type[np.generic]) -> None:
    sizes = [(40, 64), (33, 64), (64, 64), (40, 64), (32, 96)]
    high = 250 if dtype is np.uint8 else 65535
    images = [np.full((h, w, 1), high - i, dtype) for i, (h, w) in enumerate(sizes)]
    split = Split(make_store(images, [striped(h, w) for h, w in sizes]), "train", 32, Augmentation(), None)
    seen = []
    for batch in split.evaluation_batches(2, "cpu"):
        assert batch.images.shape[2] % 32 == batch.images.shape[3] % 32 == 0
        for image, mask, index in zip(batch.images, batch.masks, batch.indices, strict=True):
            height, width = sizes[index]
            seen.append(index)
            assert (image[0, :height, :width] == high - index).all()
            np.testing.assert_array_equal(mask[:height, :width].numpy(), striped(height, width))
            assert (mask[height:] == 255).all()
            assert (mask[:, width:] == 255).all()
            assert image[0, height:].abs().sum() + image[0, :, width:].abs().sum() == 0
    assert sorted(seen) == list(range(5))
    assert split.names == ("i0", "i1", "i2", "i3", "i4")


def test_batches_lie_channels_last_and_are_normalized() -> None:
    store = make_store([numbered(64, 64)], [striped(64, 64)])
    meta = Meta(store.meta.classes, 3, "uint16", (), (31.5, 31.5, 0.0), (18.47, 18.47, 1.0), "sha256:0")
    split = Split(Store(meta, store.items, store.images, store.masks), "train", 64, PLAIN, 2)
    batch = next(split.training_batches(0, 0, 2, "cpu"))
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.masks.dtype == torch.uint8
    np.testing.assert_allclose(batch.images[:, :2].mean().item(), 0.0, atol=1e-4)
    np.testing.assert_allclose(batch.images[:, :2].std(dim=(2, 3)).mean().item(), 1.0, atol=1e-3)
    whole = next(split.evaluation_batches(1, "cpu"))
    torch.testing.assert_close(whole.images[0], batch.images[0])


def test_crops_are_cut_on_the_host_for_a_gpu_without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was cut is sent; torch's meta device stands for the GPU."""
    assert batches.cutting_device(torch.device("mps")).type == "cpu"
    assert batches.cutting_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    monkeypatch.setattr(batches, "cutting_device", lambda device: torch.device("cpu"))
    cut, sent = batches.cut, list[torch.dtype]()

    def noted(crops: Crops, flat: Flat, shape: Shape) -> Any:
        assert {each.device.type for each in (*crops, flat.pixels, flat.masks)} == {"cpu"}
        images, masks, maps = cut(crops, flat, shape)
        sent.extend([images.dtype, masks.dtype])
        return images, masks, maps

    monkeypatch.setattr(batches, "cut", noted)
    split = Split(make_store([numbered(64, 64)], [striped(64, 64)]), "train", 64, PLAIN, 2)
    batch = next(split.training_batches(0, 0, 2, "meta"))
    assert {batch.images.device.type, batch.masks.device.type} == {"meta"}
    assert sent == [torch.float32, torch.uint8]
