"""Data from a user's own function: any torch Datasets, decoded into the same store as everything else."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.folder import QUARTER_TURN, non_finite, non_finite_problem
from lossweep.trainers.data.sources.images import orientation_of, palette_of
from lossweep.trainers.data.sources.mask_hints import spec_function
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.picture import TURNED, Picture, as_image
from lossweep.trainers.data.sources.source import Decoded, Item, Listing, Progress
from lossweep.trainers.data.spec import SPLITS, ImportSource, SplitName
from lossweep.trainers.source_code import source_digest

_SAMPLED = 8
"""Items of a split whose pixels go into the cache's key."""


class Imported:
    """The items of the datasets that an `ImportSource`'s function returns."""

    def __init__(self, spec: ImportSource) -> None:
        self._spec = spec
        self._coding = MaskCoding(spec)
        self._lock = Lock()  # a user's dataset need not stand several threads
        self._function = _imported(spec)
        self._datasets = self._call()

    def listing(self) -> Listing:
        """One item for each index of each dataset."""
        items = list[Item]()
        for split, dataset in self._datasets.items():
            items += [Item(f"{split}[{index}]", split, index) for index in range(_length(dataset, split))]
        present = {item.split for item in items}
        problems = [
            self._problem(f"returns no {split} item") for split in ("train", "val") if split not in present
        ]
        notes = () if "test" in present else ("no test split: nothing can be confirmed on untouched images",)
        return Listing(tuple(items), tuple(problems), notes)

    def content_key(self, listing: Listing, cache: Path, progress: Progress) -> str:
        """Hash the function's source and what it imports beside it, its parameters, the lengths, a few items.

        Reading every item only to know that nothing changed would make every worker decode everything: when
        other items change, ``version`` has to.

        Raises:
            UserError: an item differs when it is read twice.
        """
        spec, key = self._spec, hashlib.sha256()
        key.update(_source(self._function))
        key.update(source_digest(spec.function).encode())
        key.update(
            json.dumps([spec.function, spec.parameters, spec.version], sort_keys=True, default=str).encode()
        )
        for split in SPLITS:
            items = listing.of(split)
            key.update(f"{split} {len(items)}\n".encode())
            for item in items[:: max(1, len(items) // _SAMPLED)][:_SAMPLED]:
                try:
                    digest = self._digest(item)
                    again = self._digest(item)
                except UserError:
                    continue  # said when it is decoded
                if digest != again:
                    hint = "return the images as they are: lossweep augments them itself"
                    raise UserError(
                        Problem("item differs each time it is read", file=self._named(item), hint=hint)
                    )
                key.update(digest)
        return f"import/{key.hexdigest()}"

    def _digest(self, item: Item) -> bytes:
        decoded = self.decode(item)
        pixels = f"{decoded.image.shape}{decoded.image.dtype}".encode() + decoded.image.tobytes()
        return hashlib.sha256(pixels + decoded.mask.tobytes()).digest()

    def glance(self, item: Item) -> tuple[Problem, ...]:
        """Nothing can be told without reading the item."""
        return ()

    def decode(self, item: Item) -> Decoded:
        """Read one item.

        Raises:
            UserError: reading fails, or it is no (image, mask).
        """
        named = self._named(item)
        try:
            with self._lock:
                sample = self._datasets[item.split][item.place]
            image, mask = _parts(sample)
            picture, labels = _picture(image), _flat(mask)
            pixels, notes = as_image(picture)
        except (
            Exception
        ) as error:  # the user's code raises what it likes; its own words, and the cause chained
            message = f"item can't be used: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise UserError(Problem(message, file=named)) from error
        height, width = pixels.shape[:2]
        rows, columns, _ = labels.values.shape
        if (height, width) != (rows, columns):
            turned = (height, width) == (columns, rows)
            raise UserError(
                Problem(
                    "image and mask differ in size",
                    file=named,
                    found=f"{columns} x {rows} pixels",
                    allowed=f"{width} x {height} as in the image",
                    hint=QUARTER_TURN if turned else "images are (bands, height, width)",
                )
            )
        if labels.values.size == 0:
            raise UserError(Problem("image has no pixels", file=named, found=f"{columns} x {rows} pixels"))
        coded = self._coding.decode(labels, named)
        if (broken := non_finite(pixels, coded.mask)).any():
            raise UserError(non_finite_problem(np.argwhere(broken), named))
        suspicions = coded.suspicions
        if picture.orientation != labels.orientation:
            how = TURNED[picture.orientation if picture.orientation != 1 else labels.orientation]
            suspicions += (
                f"by EXIF one of image and mask is shown {how}; both are taken as stored: let"
                f" {spec_function(self._spec)} return `PIL.ImageOps.exif_transpose(...)` if it should be",
            )
        return Decoded(pixels, coded.mask, (*notes, *coded.notes), suspicions, coded.file(item.name))

    def _named(self, item: Item) -> str:
        return f"{self._spec.function} {item.name}"

    def _problem(self, message: str) -> Problem:
        return Problem(f"{self._spec.function} {message}", key="data.function")

    def _call(self) -> dict[SplitName, Any]:
        try:
            returned = self._function(**self._spec.parameters)
        except (Exception, SystemExit) as error:  # the user's code raises what it likes
            message = f"raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise UserError(self._problem(message)) from error
        if isinstance(returned, Mapping):
            if unknown := sorted(set(map(str, returned)) - set(SPLITS)):
                raise UserError(self._problem(f"returns the unknown splits {', '.join(unknown)}"))
            return {split: returned[split] for split in SPLITS if split in returned}
        if isinstance(returned, Sequence) and len(returned) in (2, 3):
            return dict(zip(SPLITS, returned, strict=False))
        found = type(returned).__name__
        raise UserError(
            self._problem(f"must return a dict or tuple of train, val and test, but returned a {found}")
        )


def _imported(spec: ImportSource) -> Any:
    if spec.path is not None and spec.path not in sys.path:
        sys.path.insert(0, spec.path)
    module, _, name = spec.function.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        hint = "give the folder it lies in as `path`" if spec.path is None else None
        problem = Problem(
            f"no module named {error.name!r}", key="data.function", found=spec.function, hint=hint
        )
        raise UserError(problem) from error
    except AttributeError as error:
        problem = Problem(f"module {module} has no {name!r}", key="data.function", found=spec.function)
        raise UserError(problem) from error
    except Exception as error:  # the module's own code raises what it likes
        message = f"importing {module} raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(Problem(message, key="data.function", found=spec.function)) from error


def _length(dataset: Any, split: SplitName) -> int:
    try:
        return len(dataset)
    except TypeError:
        message = f"the {split} dataset has no length: items must be readable by index"
        raise UserError(Problem(message, key="data.function")) from None
    except Exception as error:  # the user's code raises what it likes
        message = f"the length of the {split} dataset raised {type(error).__name__}: {error}"
        raise UserError(Problem(message, key="data.function")) from error


def _source(function: Any) -> bytes:
    """The file a function is written in; of a partial or a callable object, its function's or class's."""
    written = inspect.unwrap(getattr(function, "func", function))
    try:
        file = inspect.getsourcefile(
            written if inspect.isroutine(written) or inspect.isclass(written) else type(written)
        )
    except TypeError:  # it is built in
        return b""
    return Path(file).read_bytes() if file and Path(file).is_file() else b""


def _parts(sample: Any) -> tuple[Any, Any]:
    """Image and mask of an item: a pair, or a dict with those keys."""
    if isinstance(sample, Mapping):
        return sample["image"], sample["mask"]
    image, mask = sample
    return image, mask


def _picture(image: Any) -> Picture:
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    values = np.asarray(image)
    if values.ndim == 2:
        return Picture(values[..., None])
    if values.ndim != 3:
        raise ValueError(
            f"image must be (bands, height, width) or (height, width), but has shape {values.shape}"
        )
    return Picture(np.ascontiguousarray(np.moveaxis(values, 0, -1)))


def _flat(mask: Any) -> Picture:
    if isinstance(mask, Image.Image) and mask.mode in ("1", "L", "P", "I", "F"):
        return _of_pillow(mask)
    values = np.asarray(mask)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise ValueError(f"mask must be (height, width), but has shape {values.shape}")
    return Picture((values.astype(np.uint8) if values.dtype == bool else values)[..., None])


def _of_pillow(image: Image.Image) -> Picture:
    values, orientation = np.asarray(image), orientation_of(image)
    bands = values[..., None] if values.ndim == 2 else values
    if image.mode == "1":
        return Picture(bands.astype(np.uint8), step=255, orientation=orientation)
    palette = palette_of(image) if image.mode == "P" else None
    return Picture(bands, palette=palette, orientation=orientation)
