"""Pixels that don't fit on a device: what is packed and sent gives the same crops, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import make_store
from torch.utils._python_dispatch import TorchDispatchMode

from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.crops.cutting import Crops, Flat, Shape, cut
from lossweep.trainers.data.crops.placement import crops_of, place
from lossweep.trainers.data.crops.staging import stage, staged_ahead
from lossweep.trainers.data.spec import Augmentation
from lossweep.trainers.data.store.decoded import Store
from lossweep.trainers.data.store.mask_maps import kept_map
from lossweep.trainers.maps.known import KNOWN_MAPS

TILE = 32


def random_store(sizes: list[tuple[int, int]], dtype: type[np.generic], seed: int) -> Store:
    random = np.random.default_rng(seed)
    images = [random.integers(0, 255, (*size, 3)).astype(dtype) for size in sizes]
    return make_store(images, [random.integers(0, 2, size).astype(np.uint8) for size in sizes])


def flat_of(store: Store) -> Flat:
    """A store's pixels with every map of its masks."""
    maps = {name: torch.from_numpy(kept_map(store, "train", kind)) for name, kind in KNOWN_MAPS.items()}
    return Flat(torch.from_numpy(store.images), torch.from_numpy(store.masks), maps)


def epoch_of(store: Store, augment: Augmentation, seed: int) -> tuple[Crops, Shape]:
    rows = np.arange(len(store.items.names))
    crops = crops_of(store.items, rows, TILE, 12)
    placed = place(store.items, rows, crops, TILE, augment, seed, 0)
    return Crops.of(store, placed, placed.order, 0), Shape.of(store, placed, TILE)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=4),
    scale=st.sampled_from([(1.0, 1.0), (0.4, 2.5)]),
    dtype=st.sampled_from([np.uint8, np.float32]),
    seed=st.integers(0, 99),
)
def test_packed_windows_give_the_same_crops(
    sizes: list[tuple[int, int]], scale: tuple[float, float], dtype: type[np.generic], seed: int
) -> None:
    store = random_store(sizes, dtype, seed)
    crops, shape = epoch_of(store, Augmentation(scale=scale), seed)
    flat = flat_of(store)
    staged = stage(crops, flat, shape, pin=False)
    assert len(staged.flat.pixels) == len(staged.flat.masks)
    for there, here in zip(cut(staged.crops, staged.flat, shape), cut(crops, flat, shape), strict=True):
        torch.testing.assert_close(there, here, rtol=0, atol=0)


def test_only_what_is_shown_is_sent() -> None:
    store = random_store([(400, 400)], np.uint8, 0)
    crops, shape = epoch_of(store, Augmentation(), 0)
    staged = stage(crops, flat_of(store), shape, pin=False)
    assert len(staged.flat.pixels) <= 12 * (TILE + 1) ** 2


def test_batches_come_in_order_and_a_reader_may_leave() -> None:
    store = random_store([(64, 64), (50, 90)], np.uint8, 1)
    crops, shape = epoch_of(store, Augmentation(), 3)
    flat = flat_of(store)
    batches = [slice(0, 4), slice(4, 8), slice(8, 12)]
    came = staged_ahead(crops, flat, shape, batches, torch.device("cpu"))
    for batch, staged in zip(batches, came, strict=True):
        images = cut(staged.crops, staged.flat, shape).images
        torch.testing.assert_close(images, cut(crops.part(batch), flat, shape).images, rtol=0, atol=0)
    left = staged_ahead(crops, flat, shape, batches, torch.device("cpu"))
    next(left)
    left.close()


def test_a_fault_while_packing_reaches_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = random_store([(64, 64)], np.uint8, 1)
    split = Split(store, "train", TILE, Augmentation(), 8)
    short = flat_of(store).each(lambda values: values[:10].clone())
    monkeypatch.setattr(split, "_flat", lambda device: short)
    with pytest.raises(RuntimeError, match="out of bounds"):
        list(split.training_batches(0, 0, 4, "meta"))


class Arithmetic(TorchDispatchMode):
    """Where real numbers are computed with.

    Attributes:
        places: by the operator's name, the kinds of device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, set[str]] = {}

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = operator.name().removeprefix("aten::").partition(".")[0]
        if name in ("lerp", "addcmul"):
            self.places.setdefault(name, set()).add(args[0].device.type)
        return operator(*args, **(kwargs or {}))


def test_pixels_off_the_device_are_computed_with_on_it_as_those_that_lie_there() -> None:
    """Magnified crops once were interpolated where their pixels lay, so that bits hung on whether they fit.

    torch's meta device stands for a GPU that nothing fits on.
    """
    split = Split(
        random_store([(64, 64), (50, 90)], np.uint8, 1), "train", TILE, Augmentation(scale=(0.5, 2.0)), 8
    )
    with Arithmetic() as seen:
        batches = list(split.training_batches(0, 0, 4, "meta"))
    assert batches
    assert seen.places == {"lerp": {"meta"}, "addcmul": {"meta"}}
