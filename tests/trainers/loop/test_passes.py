"""How images are shared out among the passes of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lossweep.trainers.data.crops.whole_images import STRIDE
from lossweep.trainers.loop.passes import PassSize, predicted

strides = st.integers(1, 80).map(lambda count: count * STRIDE)


@given(height=strides, width=strides, pixels=st.integers(1, 2**21), tile=st.sampled_from([40, 64, 256]))
def test_windows_keep_every_pixel_once(height: int, width: int, pixels: int, tile: int) -> None:
    size = PassSize(images=4, pixels=pixels, tile=tile)
    windows = size.windows(height, width)
    kept = np.zeros((height, width), int)
    for window in windows:
        kept[window.kept] += 1
        for seen, part, extent in zip(window.seen, window.kept, (height, width), strict=True):
            assert 0 <= seen.start <= part.start < part.stop <= seen.stop <= extent
            assert seen.start % STRIDE == seen.stop % STRIDE == 0
            # What isn't at the image's edge has something around it.
            assert part.start == 0 or part.start - seen.start >= STRIDE // 2
            assert part.stop == extent or seen.stop - part.stop >= STRIDE // 2
    assert (kept == 1).all()
    areas = {
        (window.seen[0].stop - window.seen[0].start) * (window.seen[1].stop - window.seen[1].start)
        for window in windows
    }
    assert len(areas) == 1
    assert max(areas) <= max(pixels, 128**2, tile**2)
    assert len(windows) == 1 or height * width > pixels


@given(
    sizes=st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=5),
    images=st.integers(1, 16),
)
def test_halving_ends_at_one_least_window(sizes: list[tuple[int, int]], images: int) -> None:
    size: PassSize | None = PassSize.of(images, 64)
    largest = []
    while size is not None:
        largest.append(max(count * height * width for count, height, width in size.shapes(sizes)))
        size = size.halved(sizes)
    assert largest == sorted(set(largest), reverse=True), "each is smaller than the one before"
    assert largest[-1] <= 128**2


def test_what_training_takes_at_once_an_evaluation_takes_too() -> None:
    assert PassSize.of(8, 512).images_of(512, 512) == 8
    assert PassSize.of(8, 512).images_of(1024, 1024) == 2
    assert PassSize.of(2, 64).images_of(64, 64) == 2, "never more images than training"
    assert PassSize.of(2, 64).images_of(1984, 1984) == 1
    assert len(PassSize.of(2, 64).windows(1984, 1984)) == 9
    assert PassSize.of(2, 64).shapes([(250, 250), (60, 64)]) == {
        (1, 256, 256), (2, 256, 256), (1, 64, 64), (2, 64, 64)
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(256, 256), (160, 512), (512, 96), (384, 352)])
def test_windows_predict_what_a_pass_over_the_whole_does(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1),
        nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3, padding=1),
    )  # fmt: skip
    images = torch.randn(2, 3, *shape)
    seen = []

    def forward(part: torch.Tensor) -> torch.Tensor:
        seen.append(part.shape[2:].numel())
        found: torch.Tensor = model(part)
        return found

    with torch.no_grad():
        whole, parts = model(images), predicted(forward, images, PassSize(2, 128**2, 64))
    assert len(seen) > 1
    assert max(seen) <= 128**2
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


def test_an_image_that_fits_is_seen_whole() -> None:
    images = torch.randn(2, 3, 96, 64)
    assert predicted(lambda part: part, images, PassSize.of(2, 64)) is not None
    seen: list[torch.Size] = []
    predicted(lambda part: (seen.append(part.shape), part)[1], images, PassSize.of(2, 64))
    assert seen == [images.shape]
