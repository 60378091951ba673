"""Folders that nobody prepared, tiny: images of noise, masks of squares."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
Pixels = NDArray[np.uint8]


def noise(path: Path, seed: int, bands: int = 3) -> None:
    """An image: more colors than a mask has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (SIDE, SIDE, bands) if bands > 1 else (SIDE, SIDE)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def squares(seed: int, values: Sequence[Any]) -> NDArray[np.uint8]:
    """A mask: the first value everywhere, each other one in a square of its own."""
    mask = np.empty((SIDE, SIDE, *np.shape(values[0])), np.uint8)
    mask[:] = values[0]
    for number, value in enumerate(values[1:]):
        row, column = divmod(number, 6)
        mask[10 * row + 1 : 10 * row + 9, 10 * column + 1 + seed % 2 : 10 * column + 9] = value
    return mask


def write_mask(path: Path, mask: NDArray[np.uint8], palette: Sequence[int] | None = None) -> None:
    """Save a mask, as a palette file when it has a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path)


def pairs(
    root: Path,
    image: str,
    mask: str,
    values: Sequence[Any],
    count: int = 8,
    splits: Sequence[str] = ("",),
    palette: Sequence[int] | None = None,
    first: int = 0,
    name: Callable[[int], str] = lambda number: f"im{number:03d}",
) -> None:
    """Write pairs; ``image`` and ``mask`` are paths with ``{split}`` and ``{name}``."""
    for split in splits:
        for number in range(first, first + count):
            words = {"split": split, "name": name(number)}
            noise(root / image.format(**words), number)
            write_mask(root / mask.format(**words), squares(number, values), palette)
        first += count


def coco(root: Path, file: str, images: str, count: int = 8, first: int = 0) -> None:
    """Images with two outlines each, and their JSON."""
    named, annotations = [], []
    for number in range(first, first + count):
        name = f"c{number}.png"
        noise(root / images / name, number)
        named.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        for category, at in ((1, 4), (5, 30)):
            outline = [at, at, at + 10, at, at + 10, at + 10, at, at + 10]
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": category,
                    "segmentation": [outline],
                }
            )
    categories = [{"id": 1, "name": "ship"}, {"id": 5, "name": "buoy"}, {"id": 9, "name": "whale"}]
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": named, "annotations": annotations, "categories": categories}))
