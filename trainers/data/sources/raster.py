"""GeoTIFF scenes of any size with raster or vector labels, read by windows (extra ``geo``)."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources import geotiff, grids, polygons
from lossweep.trainers.data.sources.content import content_key
from lossweep.trainers.data.sources.dividing import divide
from lossweep.trainers.data.sources.folder import QUARTER_TURN, non_finite, non_finite_problem
from lossweep.trainers.data.sources.geotiff import line
from lossweep.trainers.data.sources.laid_out import Pair
from lossweep.trainers.data.sources.masks import CodedMask, MaskCoding
from lossweep.trainers.data.sources.pairs import find_pairs, list_pairs, missing_splits
from lossweep.trainers.data.sources.picture import Picture, as_image
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Progress
from lossweep.trainers.data.sources.windows import Box, blocks, windows
from lossweep.trainers.data.spec import RasterSource, SplitName

_SCENES = (".tif", ".tiff")
_SIDECARS = (".msk", ".aux.xml")
"""What GDAL reads beside a scene: which pixels are valid, and what the file itself doesn't say."""


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
        self._refused = lru_cache(maxsize=None)(self._refuse)
        self._broken = lru_cache(maxsize=None)(self._infinite)
        self._damages: dict[Path, Problem] = {}
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
                    items.append(Item(f"{name}[{box[0]},{box[1]}]", part, _Piece(image, mask, box), name))
        items.sort(key=lambda item: ("train", "val", "test").index(item.split))
        if spec.blocks is not None and not problems:
            problems.extend(missing_splits(items, Path(spec.root)))
        return Listing(tuple(items), tuple(problems), (*notes, *grids.touching(footprints)))

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
        read = {file for item in listing.items for file in (item.place.image, item.place.mask)}
        beside = {file.with_name(file.name + suffix) for file in read for suffix in _SIDECARS}
        files = sorted(read | {file for file in beside if file.exists()})
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
        decoded = self._read(piece)
        if non_finite(decoded.image, decoded.mask).any():
            raise UserError(self._broken(piece.image, piece.mask))
        return decoded

    def _read(self, piece: _Piece) -> Decoded:
        file = piece.mask.relative_to(self._spec.root).as_posix()
        with self._opened(piece.image) as dataset:
            window = self._window(piece.box)
            picture = self._picture(piece.image, dataset, window)
            shown, (valid, _) = self._shown(piece.image, dataset, window) > 0, picture.valid()
            if piece.mask.suffix.lower() in _SCENES:
                with self._opened(piece.mask) as labels:
                    if problems := self._grids_differ(piece, dataset, labels):
                        raise UserError(problems)
                    coded = self._raster_mask(piece.mask, labels, window)
                mask, notes, suspicions = coded.mask, coded.notes, coded.suspicions
                said = coded.file(file)
            else:
                mask, notes = self._burn(piece, dataset, window)
                suspicions, said = (), None
        try:
            image, image_notes = as_image(picture)
        except ValueError as error:
            raise UserError(Problem(f"image can't be used: {error}", file=str(piece.image))) from None
        mask[~shown if valid is None else ~(shown & valid)] = IGNORE_INDEX
        return Decoded(image, mask, (*image_notes, *notes), suspicions, said)

    def _opened(self, path: Path) -> Any:
        return geotiff.opened(path)

    def _window(self, box: Box) -> Any:
        row, column, height, width = box
        return self._rasterio.windows.Window(column, row, width, height)

    def _picture(self, path: Path, dataset: Any, window: Any) -> Picture:
        """A window's bands as stored, and what the file says of them."""
        try:
            return geotiff.window_picture(dataset, window)
        except Exception as error:  # GDAL raises many kinds on damaged files
            raise self._damaged(path, error) from None

    def _shown(self, path: Path, dataset: Any, window: Any) -> NDArray[np.uint8]:
        """GDAL's own mask of a window: of nodata, an alpha band, or a page or a file that masks the image."""
        try:
            return np.asarray(dataset.dataset_mask(window=window))
        except Exception as error:  # GDAL raises many kinds on damaged files
            raise self._damaged(path, error) from None

    def _raster_mask(self, path: Path, labels: Any, window: Any) -> CodedMask:
        coded = self._coding.attempt(self._picture(path, labels, window), str(path))
        if len(coded.unknown):
            raise UserError(self._refused(path))
        return coded

    def _refuse(self, path: Path) -> Problem:
        """What is wrong with a scene's mask, counted over all of it: one line, not one a window."""
        with self._opened(path) as labels:
            boxes = windows((0, 0, labels.height, labels.width), self._spec.window_pixels, 0)
            pictures = (self._picture(path, labels, self._window(box)) for box in boxes)
            tallies = (self._coding.attempt(one, str(path)).tally(one) for one in pictures)
            return self._coding.refusal(reduce(operator.add, tallies), str(path))

    def _infinite(self, image: Path, mask: Path) -> Problem:
        """What is wrong with a scene that holds NaN, counted over all of it."""
        with self._opened(image) as dataset:
            boxes = list(windows((0, 0, dataset.height, dataset.width), self._spec.window_pixels, 0))
        places = list[NDArray[np.int64]]()
        for box in boxes:
            decoded = self._read(_Piece(image, mask, box))
            places.append(np.argwhere(non_finite(decoded.image, decoded.mask)) + box[:2])
        return non_finite_problem(np.concatenate(places), str(image))

    def _damaged(self, path: Path, error: Exception) -> UserError:
        """The error of a file that can't be read; what was said of its first window stands for the others."""
        problem = Problem(f"damaged GeoTIFF: {line(error.__cause__ or error)}", file=str(path))
        return UserError(self._damages.setdefault(path, problem))

    def _grids_differ(self, piece: _Piece, image: Any, mask: Any) -> tuple[Problem, ...]:
        hint = None
        if image.shape != mask.shape:
            found, allowed = f"{mask.width} x {mask.height} pixels", f"{image.width} x {image.height} pixels"
            hint = QUARTER_TURN if image.shape == mask.shape[::-1] else None
        elif not (grids.placed(image) and grids.placed(mask)):
            return ()
        elif image.crs and mask.crs and not grids.same_system(image, mask, self._warp):
            found, allowed = f"coordinates in {grids.name_of(mask.crs)}", f"{grids.name_of(image.crs)}"
            hint = "warp the mask onto the image's grid, such as with `rio warp --like`"
        elif not grids.close(image.transform, mask.transform):
            found, allowed = f"pixels at {mask.transform[:6]}", f"pixels at {image.transform[:6]}"
        else:
            return ()
        message, allowed = "image and mask lie on different grids", f"{allowed} as in {piece.image}"
        return (Problem(message, file=str(piece.mask), found=found, allowed=allowed, hint=hint),)

    def _read_labels(self, path: Path) -> polygons.Labels:
        try:
            return polygons.read_labels(path, self._spec.class_field, self._spec.layer)
        except (ValueError, OSError) as error:
            raise UserError(Problem(f"labels can't be read: {line(error)}", file=str(path))) from None

    def _burn(self, piece: _Piece, dataset: Any, window: Any) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Rasterize the polygons that lie in a window; later ones lie on top."""
        labels = self._projected(piece.mask, dataset.crs)
        notes: tuple[str, ...] = ()
        if labels and not any(grids.overlap(bounds, dataset.bounds) for _, bounds, _ in labels):
            notes = ("no polygon of its labels lies in the scene: all of it taken as background",)
        shapes = [
            (shape, self._index(value, piece.mask))
            for shape, bounds, value in labels
            if grids.overlap(bounds, dataset.window_bounds(window))
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
            raise UserError(Problem(f"labels can't be placed: {line(error)}", file=str(path))) from None
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
