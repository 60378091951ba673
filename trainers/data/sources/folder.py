"""Images and masks in folders: PNG, JPEG and TIFF, 8 and 16 bit or float, of any size and number of bands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.content import content_key
from lossweep.trainers.data.sources.images import SUFFIXES, read_header, read_picture
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.pairs import list_pairs
from lossweep.trainers.data.sources.picture import TURNED, Picture, as_image
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Pixels, Progress
from lossweep.trainers.data.spec import FolderSource

QUARTER_TURN: Final = "they differ by a quarter turn: was one of them turned, or saved columns first?"
"""What to look for when one's height is the other's width."""


class Folder:
    """The pairs of a `FolderSource`; an item's place is (image file, mask file)."""

    def __init__(self, spec: FolderSource) -> None:
        self._spec = spec
        self._coding = MaskCoding(spec)

    def listing(self) -> Listing:
        """Pair images and masks by their stems."""
        return list_pairs(self._spec, SUFFIXES, SUFFIXES)

    def content_key(self, listing: Listing, cache: Path, progress: Progress) -> str:
        """Hash the files, what each split holds and how masks are read."""
        spec = self._spec
        files = [file for item in listing.items for file in item.place]
        parts = [f"{item.split}/{item.name}" for item in listing.items]
        coding = (spec.colors and sorted(spec.colors.items()), spec.ignore_index, spec.percentiles, spec.exif)
        return "\n".join([content_key(files, Path(spec.root), cache, progress), str(coding), *parts])

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Compare the sizes in the headers."""
        found, stored = list[Problem](), list[_Stored]()
        for file in item.place:
            try:
                header = read_header(file, self._spec.largest_image)
                stored.append(_Stored(header.height, header.width, header.orientation))
            except UserError as error:
                found.extend(error.problems)
        if len(stored) == 2:
            found.extend(self._mismatch(item, *stored))
        return tuple(found)

    def decode(self, item: Item) -> Decoded:
        """Decode image and mask.

        Raises:
            UserError: with what is wrong with either.
        """
        image_file, mask_file = item.place
        problems = list[Problem]()
        image = coded = None
        stored = list[_Stored]()
        notes, suspicions = list[str](), list[str]()
        try:
            picture = self._picture(image_file, stored)
            image, image_notes = _image(picture, image_file)
            valid, valid_notes = picture.valid()
            notes.extend((*image_notes, *valid_notes))
        except UserError as error:
            problems.extend(error.problems)
        try:
            coded = self._coding.decode(self._picture(mask_file, stored), str(mask_file))
            notes.extend(coded.notes)
            suspicions.extend(coded.suspicions)
        except UserError as error:
            problems.extend(error.problems)
        if len(stored) == 2:
            problems.extend(self._mismatch(item, *stored))
            suspicions.extend(self._turned(*stored))
        if problems or image is None or coded is None:
            raise UserError(problems)
        if valid is not None:
            coded.mask[~valid] = IGNORE_INDEX
        if (broken := non_finite(image, coded.mask)).any():
            raise UserError(non_finite_problem(np.argwhere(broken), str(image_file)))
        name = mask_file.relative_to(self._spec.root).as_posix()
        return Decoded(image, coded.mask, tuple(notes), tuple(suspicions), coded.file(name))

    def _picture(self, file: Path, stored: list[_Stored]) -> Picture:
        """Decode a file, as it is stored or shown, and append how it is stored."""
        picture = read_picture(file, self._spec.largest_image)
        height, width, _ = picture.values.shape
        stored.append(_Stored(height, width, picture.orientation))
        return picture.upright() if self._spec.exif == "apply" else picture

    def _mismatch(self, item: Item, image: _Stored, mask: _Stored) -> Iterator[Problem]:
        """What is wrong when image and mask are not of one size, as they are taken."""
        applied = self._spec.exif == "apply"
        image_size, mask_size = image.size(applied), mask.size(applied)
        if image_size == mask_size:
            return
        hint = None
        if image.size(not applied) == mask.size(not applied):
            hint = f"one is stored turned by EXIF: `exif: {'ignore' if applied else 'apply'}` makes them fit"
        elif image_size == mask_size[::-1]:
            hint = QUARTER_TURN
        yield Problem(
            "image and mask differ in size",
            file=str(item.place[1]),
            found=f"{mask_size[1]} x {mask_size[0]} pixels",
            allowed=f"{image_size[1]} x {image_size[0]} as in {item.place[0]}",
            hint=hint,
        )

    def _turned(self, image: _Stored, mask: _Stored) -> Iterator[str]:
        """What to look at when image and mask are shown turned from each other, and nobody said which way."""
        if self._spec.exif is not None or image.orientation == mask.orientation:
            return
        one, other = ("image", "mask") if image.orientation != 1 else ("mask", "image")
        how = TURNED[image.orientation if image.orientation != 1 else mask.orientation]
        yield (
            f"by EXIF the {one} is shown {how}, and its {other} is not; both are taken as stored: look at"
            " them, then say `exif: apply` or `exif: ignore`"
        )


@dataclass(frozen=True, slots=True)
class _Stored:
    """How a file is stored."""

    height: int
    width: int
    orientation: int

    def size(self, applied: bool) -> tuple[int, int]:
        """Height and width, with the orientation applied or as stored."""
        quarter = applied and self.orientation in (5, 6, 7, 8)
        return (self.width, self.height) if quarter else (self.height, self.width)


def _image(picture: Picture, file: Path) -> tuple[Pixels, tuple[str, ...]]:
    try:
        return as_image(picture)
    except ValueError as error:
        raise UserError(Problem(f"image can't be used: {error}", file=str(file))) from None


def non_finite(image: Pixels, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where (height, width) a float image is NaN or infinite though the mask labels it."""
    if image.dtype.kind != "f":
        return np.zeros(mask.shape, bool)
    return np.asarray(~np.isfinite(image).all(axis=2) & (mask != IGNORE_INDEX))


def non_finite_problem(places: NDArray[np.int64], file: str) -> Problem:
    """What is wrong with an image that is NaN or infinite in those places (row, column)."""
    row, column = places[np.lexsort(places.T[::-1])[0]]
    return Problem(
        "image holds NaN or infinite values",
        file=file,
        found=f"{len(places)} pixels, the first at row {row}, column {column}",
        hint="give those pixels the ignored value in the mask, or replace them",
    )
