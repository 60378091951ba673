"""Images whose objects are outlined in COCO's JSON: polygons and run lengths, drawn as masks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.content import content_key
from lossweep.trainers.data.sources.dividing import divided, with_splits_from_train
from lossweep.trainers.data.sources.folder import non_finite, non_finite_problem
from lossweep.trainers.data.sources.images import read_header, read_picture
from lossweep.trainers.data.sources.pairs import missing_splits
from lossweep.trainers.data.sources.picture import as_image
from lossweep.trainers.data.sources.run_lengths import decoded
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Problems, Progress
from lossweep.trainers.data.spec import SPLITS, SplitName
from lossweep.trainers.data.specs.coco import CocoSource


@dataclass(frozen=True, slots=True)
class Outline:
    """One annotation.

    Attributes:
        number: its id in the file.
        index: its class's; 255 of a crowd.
        area: in pixels; the smaller lies on top.
        segmentation: polygons ``[[x, y, x, y, ...], ...]`` or run lengths ``{"size", "counts"}``.
    """

    number: Any
    index: int
    area: float
    segmentation: Any


@dataclass(frozen=True, slots=True)
class _Place:
    image: Path
    width: int
    height: int
    annotations: Path
    outlines: tuple[Outline, ...]


class Coco:
    """The images of a `CocoSource`."""

    def __init__(self, spec: CocoSource) -> None:
        self._spec = spec

    def listing(self) -> Listing:
        """Read the annotations."""
        spec, root = self._spec, Path(self._spec.root)
        problems, notes = Problems(), list[str]()
        by_image: dict[Path, _Place] = {}
        chosen: dict[SplitName, Sequence[tuple[Path, Path]]] = {}
        for split in SPLITS if spec.split is None else (None,):
            word = "" if split is None else getattr(spec.splits, split)
            file = root / spec.annotations.replace("{split}", word)
            if split is not None and not file.exists() and self._may_lack(split):
                continue
            places = self._read(file, root / spec.images.replace("{split}", word), problems, notes)
            by_image |= {place.image: place for place in places}
            found = [(place.image, file) for place in places]
            if split is not None:
                chosen[split] = found
            elif found:
                assert spec.split is not None
                chosen = dict(divided(root, found, spec.split, problems))
        divided_by = with_splits_from_train(spec, chosen, problems)
        items = tuple(
            Item(image.relative_to(root).as_posix(), split, by_image[image])
            for split in SPLITS
            for image, _ in divided_by.get(split, ())
        )
        if not problems.found:
            problems.found.extend(missing_splits(items, root))
        if not any(item.split == "test" for item in items):
            notes.append("no test split: nothing can be confirmed on untouched images")
        return Listing(items, tuple(problems.found), tuple(dict.fromkeys(notes)))

    def _may_lack(self, split: SplitName) -> bool:
        taken = self._spec.from_train
        return split == "test" or (taken is not None and getattr(taken, split, None) is not None)

    def _read(self, file: Path, folder: Path, problems: Problems, notes: list[str]) -> Sequence[_Place]:
        try:
            return tuple(self._places(read_annotations(file), file, folder, notes))
        except UserError as error:
            problems.found.extend(error.problems)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.add(f"annotations are not in COCO's format: {type(error).__name__} {error}", file)
        return ()

    def _places(self, data: dict[str, Any], file: Path, folder: Path, notes: list[str]) -> Iterator[_Place]:
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        classes = {name: index for index, name in enumerate(self._spec.classes) if index}
        if unknown := sorted(set(classes) - set(names.values())):
            raise UserError(
                Problem(
                    "classes are no categories of the annotations",
                    file=str(file),
                    found=", ".join(unknown),
                    allowed=", ".join(sorted(names.values())),
                )
            )
        if left := sorted(set(names.values()) - set(classes)):
            notes.append(
                f"{file.name}: categories that are no classes taken as background: {', '.join(left)}"
            )
        outlines: dict[Any, list[Outline]] = {}
        for number, each in enumerate(data["annotations"]):
            index = IGNORE_INDEX if each.get("iscrowd") else classes.get(names[each["category_id"]])
            if index is not None and each.get("segmentation"):
                outline = Outline(each.get("id", number), index, _area(each), each["segmentation"])
                outlines.setdefault(each["image_id"], []).append(outline)
        for image in sorted(data["images"], key=lambda image: str(image["file_name"])):
            found = sorted(outlines.get(image["id"], ()), key=lambda outline: -outline.area)
            size = int(image["width"]), int(image["height"])
            yield _Place(folder / str(image["file_name"]), *size, file, tuple(found))

    def content_key(self, listing: Listing, cache: Path, progress: Progress) -> str:
        """Hash images and annotations, what each split holds and which classes there are."""
        spec = self._spec
        files = sorted(
            {file for item in listing.items for file in (item.place.image, item.place.annotations)}
        )
        parts = [f"{item.split}/{item.name}" for item in listing.items]
        key = content_key(files, Path(spec.root), cache, progress)
        return "\n".join([key, str((spec.classes, spec.percentiles)), *parts])

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Compare an image's size with what the annotations say."""
        place: _Place = item.place
        try:
            header = read_header(place.image, self._spec.largest_image)
        except UserError as error:
            return error.problems
        return _mismatch(place, header.width, header.height)

    def decode(self, item: Item) -> Decoded:
        """Decode an image and draw its mask.

        Raises:
            UserError: with what is wrong with either.
        """
        place: _Place = item.place
        picture = read_picture(place.image, self._spec.largest_image)
        height, width, _ = picture.values.shape
        if problems := _mismatch(place, width, height):
            raise UserError(problems)
        try:
            image, image_notes = as_image(picture)
        except ValueError as error:
            raise UserError(Problem(f"image can't be used: {error}", file=str(place.image))) from None
        mask = drawn(place.outlines, height, width, place.annotations)
        valid, valid_notes = picture.valid()
        if valid is not None:
            mask[~valid] = IGNORE_INDEX
        if (broken := non_finite(image, mask)).any():
            raise UserError(non_finite_problem(np.argwhere(broken), str(place.image)))
        return Decoded(image, mask, (*image_notes, *valid_notes))


def read_annotations(file: Path) -> dict[str, Any]:
    """Read a file of annotations.

    Raises:
        UserError: it is missing, or no JSON of COCO's three lists.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(Problem(f"annotations can't be read: {error.strerror}", file=str(file))) from None
    except (ValueError, RecursionError) as error:
        raise UserError(Problem(f"annotations are no JSON: {error}", file=str(file))) from None
    lists = ("images", "annotations", "categories")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in lists):
        raise UserError(
            Problem(
                "annotations are not in COCO's format", file=str(file), allowed=f"lists {', '.join(lists)}"
            )
        )
    return data


def drawn(outlines: Sequence[Outline], height: int, width: int, file: Path) -> NDArray[np.uint8]:
    """Draw outlines as a mask (height, width) of class indices, one over the other.

    Raises:
        UserError: one can't be drawn.
    """
    from skimage.draw import polygon

    mask = np.zeros((height, width), np.uint8)
    for outline in outlines:
        try:
            if isinstance(outline.segmentation, dict):
                mask[decoded(outline.segmentation, height, width)] = outline.index
                continue
            for numbers in outline.segmentation:
                columns, rows = _corners(numbers)
                mask[polygon(rows, columns, mask.shape)] = outline.index  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError) as error:
            message = f"annotation {outline.number} can't be drawn: {error}"
            raise UserError(Problem(message, file=str(file))) from None
    return mask


def _corners(polygon: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows of corners, counted from the centers of pixels; COCO counts from their corners."""
    numbers = np.asarray(polygon, np.float64)
    if numbers.ndim != 1 or len(numbers) < 6 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise ValueError("a polygon needs three pairs of finite numbers or more")
    return numbers[::2] - 0.5, numbers[1::2] - 0.5


def _area(annotation: dict[str, Any]) -> float:
    """What the file says, else that of the box around it."""
    if annotation.get("area") is not None:
        return float(annotation["area"])
    box = annotation.get("bbox") or (0, 0, 0, 0)
    return float(box[2]) * float(box[3])


def _mismatch(place: _Place, width: int, height: int) -> tuple[Problem, ...]:
    if (width, height) == (place.width, place.height):
        return ()
    return (
        Problem(
            "image is of another size than its annotations say",
            file=str(place.image),
            found=f"{width} x {height} pixels",
            allowed=f"{place.width} x {place.height} as in {place.annotations}",
        ),
    )
