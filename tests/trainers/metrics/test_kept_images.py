from __future__ import annotations

import numpy as np
import pytest
import torch

from lossweep.trainers.metrics.kept_images import KeptBatch, KeptImages


def batch(seed: int, images: int, several: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 3, (images, 8, 8), generator=generator).to(torch.uint8)
    keys = torch.randint(-9, 9, (images, 2, 8, 8), generator=generator).to(torch.int16)
    return truth, keys, truth.clone() if several else None


def same(kept: KeptBatch, given: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]) -> bool:
    truth, keys, argmax = given
    return (
        np.array_equal(kept.truth, truth.numpy())
        and np.array_equal(kept.keys, keys.numpy())
        and (kept.argmax is None if argmax is None else np.array_equal(kept.argmax, argmax.numpy()))
    )


@pytest.mark.parametrize("memory", [1, 1500, 10**9])
@pytest.mark.parametrize("several", [False, True])
def test_batches_come_back_in_order_whether_in_memory_or_in_the_file(memory: int, several: bool) -> None:
    kept = KeptImages(memory)
    given = [batch(seed, images, several) for seed, images in enumerate([2, 3, 1, 2])]
    for each in given:
        kept.add(*each)
    for _ in range(2):
        assert all(same(k, g) for k, g in zip(kept.batches(), given, strict=True))


def test_batches_may_be_added_after_reading() -> None:
    kept = KeptImages(memory=1)
    given = [batch(seed, 2, False) for seed in range(3)]
    kept.add(*given[0])
    assert len(list(kept.batches())) == 1
    kept.add(*given[1])
    kept.add(*given[2])
    assert all(same(k, g) for k, g in zip(kept.batches(), given, strict=True))


def test_what_is_kept_does_not_change_with_the_callers_buffer() -> None:
    kept = KeptImages()
    truth, keys, _ = batch(0, 2, False)
    kept.add(truth, keys, None)
    before = truth.numpy().copy()
    truth.zero_()
    assert np.array_equal(next(kept.batches()).truth, before)


def test_an_ordinary_validation_split_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossweep.trainers.metrics.kept_images.tempfile", None)
    kept = KeptImages()
    for _ in range(8):  # 64 tiles of 256 x 256
        kept.add(
            torch.zeros(8, 256, 256, dtype=torch.uint8), torch.zeros(8, 1, 256, 256, dtype=torch.int16), None
        )
    assert [len(batch.truth) for batch in kept.batches()] == [8] * 8
