"""Decodes a source into a store, once; every problem met on the way is collected, none stops the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.source_spec import SPLITS, RootedSpec, SourceSpec
from lossweep.trainers.data.sources.agreement import MaskAgreement
from lossweep.trainers.data.sources.source import Decoded, Item, Pixels, Progress, Source
from lossweep.trainers.data.store.decoded import Meta, even_anchors
from lossweep.trainers.data.store.decoding import decode_all
from lossweep.trainers.data.store.scaling import Scaling, scaling_of

_PIECE = 1 << 22
"""Pixels of an image that are summed at once: the largest images would take gigabytes as float64."""


def build(
    source: Source,
    items: Sequence[Item],
    spec: SourceSpec,
    folder: Path,
    progress: Progress,
) -> tuple[Problem, ...]:
    """Decode every item into a store in ``folder``; what can't be decoded is left out and reported.

    Args:
        source: the items' source.
        items: in the order of the splits.
        spec: the source's: its classes, and how float bands are scaled.
        folder: an empty folder. When nothing that most images are like could be decoded, no store is written.
        progress: told of every item.

    Returns:
        The problems met; the store is fit for training only when there are none.
    """
    percentiles = spec.percentiles if isinstance(spec, RootedSpec) else (0.1, 99.9)
    train = [item for item in items if item.split == "train"]
    writer = _Writer(spec, folder, scaling_of(source, train, percentiles, progress))
    with ExitStack() as stack:
        writer.open(stack)
        for done, (item, decoded) in enumerate(decode_all(source, items), start=1):
            writer.add(item, decoded)
            progress("decode", done, len(items))
    writer.close()
    problems = (*writer.problems, *writer.odd_kinds(), *writer.agreement.problems())
    return tuple(dict.fromkeys(problems))  # a scene's labels fail the same way in each of its windows


class _Writer:
    """Appends decoded images to a store's files."""

    def __init__(self, spec: SourceSpec, folder: Path, scaling: Scaling) -> None:
        self.problems: list[Problem] = []
        self.agreement = MaskAgreement(spec)
        self._classes, self._folder, self._scaling = spec.classes, folder, scaling
        self._rows: list[tuple[Item, int, int, NDArray[np.int64], int]] = []
        self._anchors: list[list[NDArray[np.int64]]] = []
        self._notes: dict[str, list[str]] = {}
        self._suspicions: dict[str, list[str]] = {}
        self._kinds: dict[tuple[int, str], dict[str, None]] = {}  # names, each once, in order
        self._hash = hashlib.sha256("\n".join(spec.classes).encode())
        self._pixels, self._sums, self._squares = 0, np.zeros(1), np.zeros(1)

    def open(self, stack: ExitStack) -> None:
        self._images = stack.enter_context((self._folder / "images.bin").open("wb"))
        self._masks = stack.enter_context((self._folder / "masks.bin").open("wb"))

    def add(self, item: Item, decoded: Decoded | UserError) -> None:
        if isinstance(decoded, UserError):
            self.problems.extend(decoded.problems)
            return
        image: Pixels = decoded.image
        kind = (image.shape[2], str(image.dtype))
        self._kinds.setdefault(kind, {})[item.scene or item.name] = None
        for found, remarks in ((self._notes, decoded.notes), (self._suspicions, decoded.suspicions)):
            for remark in remarks:
                found.setdefault(remark, []).append(item.name)
        if decoded.file is not None:
            self.agreement.add(item.split, decoded.file)
        if kind != next(iter(self._kinds)):  # a store holds one kind; `odd_kinds` says which is out of place
            return
        if image.dtype == np.float32:
            image = self._scaling.scaled(image)
        self._append(item, image, decoded.mask)

    def _append(self, item: Item, image: Pixels, mask: NDArray[np.uint8]) -> None:
        pixels = image.tobytes()
        self._images.write(pixels)
        self._masks.write(mask.tobytes())
        self._hash.update(
            f"{item.split}/{item.name} {image.shape} {image.dtype}\n".encode(errors="surrogatepass")
        )
        self._hash.update(pixels)
        self._hash.update(mask.tobytes())
        counts = np.bincount(mask.ravel(), minlength=256)
        counts = np.append(counts[: len(self._classes)], counts[IGNORE_INDEX]).astype(np.int64)
        digest = hashlib.blake2b(pixels, digest_size=8, key=str(image.shape).encode()).digest()
        self._rows.append((item, mask.shape[0], mask.shape[1], counts, int.from_bytes(digest)))
        self._anchors.append(list(even_anchors(mask, len(self._classes))))
        if item.split == "train":
            labelled = image[mask != IGNORE_INDEX]
            self._pixels += len(labelled)
            for first in range(0, len(labelled), _PIECE):
                piece = labelled[first : first + _PIECE].astype(np.float64)
                self._sums = self._sums + piece.sum(axis=0)
                self._squares = self._squares + (piece**2).sum(axis=0)

    def odd_kinds(self) -> Iterator[Problem]:
        """Images of another kind than most, which need not be that of the first."""
        if not self._kinds:
            return
        most, usual = max(self._kinds.items(), key=lambda entry: len(entry[1]))
        for kind, names in self._kinds.items():
            for name in names if kind != most else ():
                yield Problem(
                    "image of another kind than most",
                    file=name,
                    found=_kind(kind),
                    allowed=f"{_kind(most)} as in {_counted(list(usual))}",
                    hint="convert it, or leave it out",
                )

    def close(self) -> None:
        kind = max(self._kinds, key=lambda kind: len(self._kinds[kind]), default=None)
        if kind is None or kind != next(iter(self._kinds)):
            return
        bands, dtype = kind
        mean = np.broadcast_to(self._sums / max(1, self._pixels), (bands,))
        variance = np.broadcast_to(self._squares / max(1, self._pixels), (bands,)) - mean**2
        std = np.where(variance > 1e-6, np.sqrt(np.maximum(variance, 0.0)), 1.0)
        lengths = np.array([[len(pixels) for pixels in row] for row in self._anchors], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths.ravel())[:-1]]).reshape(lengths.shape)
        np.savez(
            self._folder / "items.npz",
            names=np.array([row[0].name for row in self._rows], np.str_),
            splits=np.array([SPLITS.index(row[0].split) for row in self._rows], np.uint8),
            heights=np.array([row[1] for row in self._rows], np.int64),
            widths=np.array([row[2] for row in self._rows], np.int64),
            counts=np.stack([row[3] for row in self._rows]),
            digests=np.array([row[4] for row in self._rows], np.uint64),
            anchor_starts=starts.astype(np.int64),
            anchor_counts=lengths,
            anchors=np.concatenate([pixels for row in self._anchors for pixels in row]),
        )
        Meta(
            classes=self._classes,
            bands=bands,
            dtype="uint16" if dtype == "float32" else dtype,
            ranges=self._scaling.ranges,
            mean=tuple(map(float, mean)),
            std=tuple(map(float, std)),
            fingerprint=f"sha256:{self._hash.hexdigest()}",
            notes=tuple(f"{_counted(names)}: {note}" for note, names in self._notes.items()),
            suspicions=(
                *(f"{_counted(names)}: {what}" for what, names in self._suspicions.items()),
                *self.agreement.suspicions(),
                *self._scaling.suspicions,
            ),
        ).write(self._folder / "meta.json")


def _kind(kind: tuple[int, str]) -> str:
    bands, dtype = kind
    return f"{bands} band{'s' if bands > 1 else ''} of {dtype}"


def _counted(names: Sequence[str]) -> str:
    """The first name, and how many more there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
