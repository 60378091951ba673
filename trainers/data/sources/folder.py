"""Images and masks in folders: PNG, JPEG and TIFF, 8 and 16 bit or float, of any size and number of bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.content import content_key
from lossweep.trainers.data.sources.images import SUFFIXES, Picture, as_image, read_header, read_picture
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.pairs import list_pairs
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Pixels, Progress
from lossweep.trainers.data.spec import FolderSource


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
        coding = (spec.colors and sorted(spec.colors.items()), spec.ignore_index, spec.percentiles)
        return "\n".join([content_key(files, Path(spec.root), cache, progress), str(coding), *parts])

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Compare the sizes in the headers."""
        found, sizes = list[Problem](), []
        for file in item.place:
            try:
                sizes.append(read_header(file, self._spec.largest_image))
            except UserError as error:
                found.extend(error.problems)
        if len(sizes) == 2 and sizes[0] != sizes[1]:
            found.append(
                _mismatch(item, (sizes[0].height, sizes[0].width), (sizes[1].height, sizes[1].width))
            )
        return tuple(found)

    def decode(self, item: Item) -> Decoded:
        """Decode image and mask.

        Raises:
            UserError: with what is wrong with either.
        """
        image_file, mask_file = item.place
        problems = list[Problem]()
        image = mask = alpha = None
        notes = list[str]()
        try:
            picture = read_picture(image_file, self._spec.largest_image)
            image, image_notes = _image(picture, image_file)
            alpha = picture.alpha
            notes.extend(image_notes)
        except UserError as error:
            problems.extend(error.problems)
        try:
            picture = read_picture(mask_file, self._spec.largest_image)
            mask, mask_notes = self._coding.decode(picture, str(mask_file))
            notes.extend(mask_notes)
        except UserError as error:
            problems.extend(error.problems)
        if image is not None and mask is not None:
            if image.shape[:2] != mask.shape:
                problems.append(_mismatch(item, image.shape[:2], mask.shape))
            else:
                mask[~alpha if alpha is not None else np.zeros_like(mask, bool)] = IGNORE_INDEX
                problems.extend(non_finite(image, mask, str(image_file)))
        if problems or image is None or mask is None:
            raise UserError(problems)
        return Decoded(image, mask, tuple(notes))


def _image(picture: Picture, file: Path) -> tuple[Pixels, tuple[str, ...]]:
    try:
        return as_image(picture)
    except ValueError as error:
        raise UserError(Problem(f"image can't be used: {error}", file=str(file))) from None


def _mismatch(item: Item, image: tuple[int, ...], mask: tuple[int, ...]) -> Problem:
    return Problem(
        "image and mask differ in size",
        file=str(item.place[1]),
        found=f"{mask[1]} x {mask[0]} pixels",
        allowed=f"{image[1]} x {image[0]} as in {item.place[0]}",
    )


def non_finite(image: Pixels, mask: NDArray[np.uint8], file: str) -> tuple[Problem, ...]:
    """What is wrong with a float image: labelled pixels that are NaN or infinite."""
    if image.dtype.kind != "f":
        return ()
    bad = ~np.isfinite(image).all(axis=2) & (mask != IGNORE_INDEX)
    if not bad.any():
        return ()
    row, column = np.argwhere(bad)[0]
    return (
        Problem(
            "image holds NaN or infinite values",
            file=file,
            found=f"{int(bad.sum())} pixels, the first at row {row}, column {column}",
            hint="give those pixels the ignored value in the mask, or replace them",
        ),
    )
