"""GeoTIFF scenes of any size with raster or vector labels, read by windows (extra ``geo``)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources import polygons
from lossweep.trainers.data.sources.content import content_key
from lossweep.trainers.data.sources.folder import non_finite
from lossweep.trainers.data.sources.images import Picture
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.pairs import Pair, divide, find_pairs, list_pairs, missing_splits
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Pixels, Progress
from lossweep.trainers.data.spec import RasterSource, SplitName

_SCENES = (".tif", ".tiff")
Box = tuple[int, int, int, int]
"""First row, first column, height, width in pixels."""


@dataclass(frozen=True, slots=True)
class _Piece:
    image: Path
    mask: Path
    box: Box


class Raster:
    """The windows of a `RasterSource`'s scenes."""

    def __init__(self, spec: RasterSource) -> None:
        self._spec = spec
        self._coding = MaskCoding(spec)
        try:
            self._rasterio: Any = importlib.import_module("rasterio")
            self._features: Any = importlib.import_module("rasterio.features")
            self._warp: Any = importlib.import_module("rasterio.warp")
        except ImportError:
            problem = Problem(
                "GeoTIFF scenes need rasterio, which is not installed",
                key="data.source",
                hint="pip install 'lossweep[geo]'",
            )
            raise UserError(problem) from None
        self._labels = lru_cache(maxsize=8)(self._read_labels)
        self._projected = lru_cache(maxsize=8)(self._project)

    def listing(self) -> Listing:
        """Find the scenes and cut them into windows; reads their headers."""
        spec = self._spec
        masks = (*_SCENES, *polygons.SUFFIXES)
        if spec.blocks is None or spec.split is None:
            found = list_pairs(spec, _SCENES, masks)
            scenes: list[tuple[str, SplitName | None, Pair]] = [
                (item.name, item.split, item.place) for item in found.items
            ]
        else:
            found, pairs = find_pairs(spec, _SCENES, masks)
            scenes = [(pair[0].relative_to(spec.root).as_posix(), None, pair) for pair in pairs]
        problems, notes, items = list(found.problems), list(found.notes), list[Item]()
        footprints = list[tuple[str, SplitName | None, Any]]()
        for name, split, (image, mask) in scenes:
            try:
                with self._opened(image) as dataset:
                    height, width = dataset.shape
                    footprints.append((name, split, (dataset.crs, dataset.bounds)))
            except UserError as error:
                problems.extend(error.problems)
                continue
            parts = [(split, (0, 0, height, width))] if split else self._blocks(name, height, width)
            for part, region in parts:
                overlap = spec.overlap_pixels if part == "train" else 0
                for box in windows(region, spec.window_pixels, overlap):
                    items.append(Item(f"{name}[{box[0]},{box[1]}]", part, _Piece(image, mask, box)))
        items.sort(key=lambda item: ("train", "val", "test").index(item.split))
        if spec.blocks is not None and not problems:
            problems.extend(missing_splits(items, Path(spec.root)))
        return Listing(tuple(items), tuple(problems), (*notes, *_touching(footprints)))

    def _blocks(self, name: str, height: int, width: int) -> list[tuple[SplitName, Box]]:
        spec = self._spec
        assert spec.blocks is not None
        assert spec.split is not None
        boxes = {
            f"{name}/{box[0]}/{box[1]}": box
            for box in blocks(height, width, spec.blocks.size, spec.blocks.gap)
        }
        return [(split, boxes[unit]) for unit, split in sorted(divide(boxes, spec.split).items())]

    def content_key(self, listing: Listing, cache: Path, progress: Progress) -> str:
        """Hash the files, the windows and how labels are read."""
        spec = self._spec
        files = sorted({file for item in listing.items for file in (item.place.image, item.place.mask)})
        parts = [f"{item.split}/{item.name}/{item.place.box}" for item in listing.items]
        colors = spec.colors and sorted(spec.colors.items())
        coding = (colors, spec.ignore_index, spec.percentiles, spec.class_field, spec.layer, spec.all_touched)
        return "\n".join([content_key(files, Path(spec.root), cache, progress), str(coding), *parts])

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Compare the grids of image and mask."""
        piece: _Piece = item.place
        if item.place.box[:2] != (0, 0):
            return ()  # once a scene is enough
        try:
            with self._opened(piece.image) as image:
                if piece.mask.suffix.lower() in _SCENES:
                    with self._opened(piece.mask) as mask:
                        return self._grids_differ(piece, image, mask)
                self._labels(piece.mask)
                return ()
        except UserError as error:
            return error.problems

    def decode(self, item: Item) -> Decoded:
        """Read one window of a scene and of its labels.

        Raises:
            UserError: either can't be read, or they don't fit.
        """
        piece: _Piece = item.place
        with self._opened(piece.image) as dataset:
            window = self._window(piece.box)
            image, valid = self._read(piece.image, dataset, window)
            if piece.mask.suffix.lower() in _SCENES:
                with self._opened(piece.mask) as labels:
                    if problems := self._grids_differ(piece, dataset, labels):
                        raise UserError(problems)
                    mask, notes = self._raster_mask(piece, labels, window)
            else:
                mask, notes = self._burn(piece, dataset, window)
        mask[~valid] = IGNORE_INDEX
        if problems := non_finite(image, mask, item.name):
            raise UserError(problems)
        return Decoded(image, mask, notes)

    def _opened(self, path: Path) -> Any:
        try:
            dataset = self._rasterio.open(path, driver="GTiff")
            # GDAL reads these when they are asked for, and raises then what is wrong with them.
            _ = dataset.crs, dataset.bounds, dataset.colorinterp, dataset.nodata
            return dataset
        except Exception as error:  # GDAL raises many kinds on damaged files
            raise UserError(Problem(f"no readable GeoTIFF: {_line(error)}", file=str(path))) from None

    def _window(self, box: Box) -> Any:
        row, column, height, width = box
        return self._rasterio.windows.Window(column, row, width, height)

    def _read(self, path: Path, dataset: Any, window: Any) -> tuple[Pixels, NDArray[np.bool_]]:
        alpha = self._rasterio.enums.ColorInterp.alpha
        bands = [
            i for i, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True) if meaning != alpha
        ]
        try:
            values = np.moveaxis(dataset.read(bands, window=window), 0, -1)
            valid = dataset.dataset_mask(window=window) > 0
        except Exception as error:  # GDAL raises many kinds on damaged files
            raise UserError(Problem(f"damaged GeoTIFF: {_line(error)}", file=str(path))) from None
        if dataset.nodata is not None and math.isnan(dataset.nodata):
            valid &= np.isfinite(values).all(axis=2)
        if values.dtype.kind not in "iuf":
            raise UserError(Problem(f"samples of {values.dtype} are no image", file=str(path)))
        return values if values.dtype in (np.uint8, np.uint16) else values.astype(np.float32), valid

    def _raster_mask(
        self, piece: _Piece, labels: Any, window: Any
    ) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        try:
            values = np.moveaxis(labels.read(window=window), 0, -1)
        except Exception as error:  # GDAL raises many kinds on damaged files
            raise UserError(Problem(f"damaged GeoTIFF: {_line(error)}", file=str(piece.mask))) from None
        # A nodata value that is a class (0, mostly) means that class: files are full of such declarations.
        nodata, classes = labels.nodata, range(len(self._spec.classes))
        ignored = np.zeros(values.shape[:2], bool)
        if nodata is not None and self._spec.colors is None and nodata not in classes:
            ignored = (values != values if math.isnan(nodata) else values == nodata).all(axis=2)
            values = np.where(ignored[..., None], np.zeros((), values.dtype), values)
        place = str(piece.mask)  # what is wrong with all of its windows is one problem
        if labels.count == 1 or self._spec.colors is not None:
            place += f" at row {piece.box[0]}, column {piece.box[1]}"
        mask, notes = self._coding.decode(Picture(values), place)
        mask[ignored] = IGNORE_INDEX
        return mask, notes

    def _grids_differ(self, piece: _Piece, image: Any, mask: Any) -> tuple[Problem, ...]:
        if image.shape != mask.shape:
            found, allowed = f"{mask.width} x {mask.height} pixels", f"{image.width} x {image.height} pixels"
        elif image.crs and mask.crs and not _close(image.transform, mask.transform):
            found, allowed = f"pixels at {mask.transform[:6]}", f"pixels at {image.transform[:6]}"
        else:
            return ()
        message = "image and mask lie on different grids"
        return (
            Problem(message, file=str(piece.mask), found=found, allowed=f"{allowed} as in {piece.image}"),
        )

    def _read_labels(self, path: Path) -> polygons.Labels:
        try:
            return polygons.read_labels(path, self._spec.class_field, self._spec.layer)
        except (ValueError, OSError) as error:
            raise UserError(Problem(f"labels can't be read: {_line(error)}", file=str(path))) from None

    def _burn(self, piece: _Piece, dataset: Any, window: Any) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Rasterize the polygons that lie in a window; later ones lie on top."""
        labels = self._projected(piece.mask, dataset.crs)
        notes: tuple[str, ...] = ()
        if labels and not any(_overlap(bounds, dataset.bounds) for _, bounds, _ in labels):
            notes = ("no polygon of its labels lies in the scene: all of it taken as background",)
        shapes = [
            (shape, self._index(value, piece.mask))
            for shape, bounds, value in labels
            if _overlap(bounds, dataset.window_bounds(window))
        ]
        mask = np.zeros((window.height, window.width), np.uint8)
        if shapes:
            transform = dataset.window_transform(window)
            self._features.rasterize(
                shapes, out=mask, transform=transform, all_touched=self._spec.all_touched
            )
        return mask, notes

    def _project(self, path: Path, crs: Any) -> list[tuple[dict[str, Any], Sequence[float], Any]]:
        """The polygons in the image's coordinates, with their bounds and class values."""
        labels = self._labels(path)
        if not labels.shapes:
            return []
        try:
            system = self._rasterio.crs.CRS.from_user_input(labels.crs)
            shapes = [shape for shape, _ in labels.shapes]
            if crs is not None and system != crs:
                shapes = self._warp.transform_geom(system, crs, shapes)
            bounds = [self._features.bounds(shape) for shape in shapes]
        except Exception as error:  # PROJ and GDAL raise many kinds
            raise UserError(Problem(f"labels can't be placed: {_line(error)}", file=str(path))) from None
        values = [value for _, value in labels.shapes]
        return list(zip(shapes, bounds, values, strict=True))

    def _index(self, value: Any, path: Path) -> int:
        classes = self._spec.classes
        if self._spec.class_field is None:
            return 1
        if isinstance(value, float) and value.is_integer():  # numbers of many tools are real ones
            value = int(value)
        if value == "ignore" or (value is not None and value == self._spec.ignore_index):
            return IGNORE_INDEX
        if value in classes:
            return classes.index(value)
        if isinstance(value, int) and 0 <= value < len(classes):
            return value
        allowed = f"{', '.join(classes)}, ignore, or 0 to {len(classes) - 1}"
        field = f"label whose {self._spec.class_field} is no class"
        raise UserError(Problem(field, file=str(path), found=repr(value), allowed=allowed))


def windows(region: Box, side: int, overlap: int) -> Iterator[Box]:
    """Cut a region into windows of ``side`` pixels.

    Where they may overlap, the last ones reach back to be whole; elsewhere they are smaller.
    """
    first_row, first_column, height, width = region
    for row, rows in _stretches(height, side, overlap):
        for column, columns in _stretches(width, side, overlap):
            yield first_row + row, first_column + column, rows, columns


def _stretches(extent: int, side: int, overlap: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        if start + side >= extent:
            start = max(0, extent - side) if overlap else start
            yield start, extent - start
            return
        yield start, side
        start += side - overlap


def blocks(height: int, width: int, size: int, gap: int) -> Iterator[Box]:
    """Divide a scene into about square blocks with ``gap`` pixels between them."""
    rows, columns = _edges(height, size, gap), _edges(width, size, gap)
    for top, bottom in rows:
        for left, right in columns:
            yield top, left, bottom - top, right - left


def _edges(extent: int, size: int, gap: int) -> list[tuple[int, int]]:
    count = max(1, round(extent / size))
    edges = [round(extent * i / count) for i in range(count + 1)]
    before, after = gap // 2, gap - gap // 2
    return [
        (edges[i] + (before if i else 0), edges[i + 1] - (after if i + 1 < count else 0))
        for i in range(count)
    ]


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    pixel = max(abs(value) for value in one[:2])
    return all(abs(a - b) <= 0.01 * pixel for a, b in zip(one[:6], other[:6], strict=True))


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two (left, bottom, right, top) boxes share more than an edge.

    Without a georeference rows run downwards, and a box's bottom is its greater end.
    """
    ends = [
        (
            max(min(one[i], one[i + 2]), min(other[i], other[i + 2])),
            min(max(one[i], one[i + 2]), max(other[i], other[i + 2])),
        )
        for i in (0, 1)
    ]
    return all(low < high for low, high in ends)


def _touching(footprints: Sequence[tuple[str, SplitName | None, Any]]) -> Iterator[str]:
    """Scenes of different splits that show the same ground."""
    for position, (name, split, (crs, bounds)) in enumerate(footprints):
        for other, other_split, (other_crs, other_bounds) in footprints[:position]:
            if split != other_split and crs and crs == other_crs and _overlap(bounds, other_bounds):
                yield f"{other} ({other_split}) and {name} ({split}) show the same ground: they leak"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
