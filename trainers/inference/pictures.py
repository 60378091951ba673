"""Images that a model is shown: arrays and files, checked against what it was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.data.sources.images import read_picture
from lossweep.trainers.data.sources.picture import Picture, as_image, three
from lossweep.trainers.data.sources.source import Pixels

Image: TypeAlias = "NDArray[Any] | str | Path"
"""An array (height, width) or (height, width, bands), or a file that holds one."""

LARGEST: Final = 100_000_000
"""Pixels above which a file is refused rather than decoded whole."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image as a model may be shown it.

    Attributes:
        pixels: (height, width, bands), of the `Normalization.kind` of the model's training images.
        valid: (height, width) False where the file shows nothing; None: everywhere is something.
    """

    pixels: Pixels
    valid: NDArray[np.bool_] | None = None


def shown(image: Image, normalization: Normalization) -> Shown:
    """Read an image and check that it is of the kind that the model was trained on.

    A file is taken as it is stored, whatever EXIF says of how it is turned: so its mask fits it pixel by
    pixel.

    Raises:
        UserError: it can't be read, or has other bands or another depth.
    """
    if isinstance(image, str | Path):
        return of_picture(read_picture(Path(image), LARGEST), normalization, str(image))
    return of_picture(Picture(three(np.asarray(image))), normalization)


def all_shown(images: Iterable[Image], normalization: Normalization) -> list[Shown]:
    """Read images as `shown` does.

    Raises:
        UserError: with what is wrong with each.
    """
    found, problems = list[Shown](), list[Problem]()
    for image in images:
        try:
            found.append(shown(image, normalization))
        except UserError as error:
            problems.extend(error.problems)
    if problems:
        raise UserError(problems)
    return found


def of_picture(picture: Picture, normalization: Normalization, file: str | None = None) -> Shown:
    """Return a decoded file, or a part of one, as the model may be shown it.

    Args:
        picture: any.
        normalization: of the model.
        file: what a person finds it by.

    Raises:
        UserError: it has other bands or another depth.
    """
    if picture.values.ndim != 3 or 0 in picture.values.shape:
        raise UserError(Problem("no image of height, width and bands", file=file, found=_shape(picture)))
    try:
        pixels, _ = as_image(picture)
    except ValueError as error:
        raise UserError(Problem(f"image can't be used: {error}", file=file)) from None
    found = pixels.shape[2], str(pixels.dtype)
    if problem := misfit(found, normalization, file):
        raise UserError(problem)
    valid, _ = replace(picture, notes=()).valid()
    if pixels.dtype.kind == "f":
        finite = np.asarray(np.isfinite(pixels).all(axis=2))
        valid = finite if valid is None else valid & finite
    return Shown(pixels, valid)


def misfit(found: tuple[int, str], normalization: Normalization, file: str | None = None) -> Problem | None:
    """What is wrong with an image of so many bands of a type; None: the model can be shown it.

    Args:
        found: bands, and the type of the values that `as_image` gives: uint8, uint16 or float32.
        normalization: of the model.
        file: what a person finds the image by.
    """
    wanted = normalization.bands, normalization.kind
    if found == wanted:
        return None
    return Problem(
        "image is of another kind than those the model was trained on",
        file=file,
        found=_kind(*found),
        allowed=_kind(*wanted),
    )


def _kind(bands: int, dtype: str) -> str:
    return f"{bands} band{'s' * (bands != 1)} of {dtype}"


def _shape(picture: Picture) -> str:
    return " x ".join(map(str, picture.values.shape)) or "a single number"
