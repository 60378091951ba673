"""What to know about data before a sweep trusts it: figures, suspicions and problems, all at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.objects import object_areas, summarize
from lossweep.trainers.data.checking.report import DataReport, SplitReport
from lossweep.trainers.data.loading import class_problems, open_source, opened_store, shortened
from lossweep.trainers.data.sources.source import Listing, Progress, silent
from lossweep.trainers.data.spec import SPLITS, DataSpec, SplitName
from lossweep.trainers.data.store.decoded import Store

_MOST_NAMED, _MOST_GROUPS = 3, 10
_DRIFT_FRACTION = 2.0
"""A class this many times as common in validation as in training (or as rare) is worth a line."""
_DRIFT_LEVEL = 0.5
"""So is a band whose mean differs by more than this many standard deviations."""
_BACKGROUND = "background"
"""A first class of this name is expected to be what most of an image shows."""
_FEW_OBJECTS = 20
"""With fewer objects than this, one object moves recall by more than 5 points."""


def check_quick(spec: DataSpec, progress: Progress | None = None) -> Listing:
    """Check what names and headers can tell: folders exist, pairs are complete, sizes match. Decodes nothing.

    Raises:
        UserError: with the problems found.
    """
    source = open_source(spec)
    listing = source.listing()
    problems = list(listing.problems)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, found in enumerate(pool.map(source.glance, listing.items), start=1):
            problems.extend(found)
            (progress or silent)("headers", done, len(listing.items))
    if problems:
        raise UserError(shortened(problems))
    return listing


def check_data(spec: DataSpec, cache: Path, progress: Progress | None = None) -> DataReport:
    """Decode everything and measure it. Problems are in the report, not raised.

    The decoded data stays in the cache when there is no problem: a sweep that follows starts at once.

    Args:
        spec: where the data comes from, its paths resolved.
        cache: folder of decoded data, as `load_data` uses it.
        progress: told of what is being read, decoded and measured.
    """
    progress = progress or silent
    try:
        source = open_source(spec)
        listing = source.listing()
        with opened_store(spec, source, listing, cache, progress) as (store, problems):
            if store is None:
                return DataReport(spec.classes, problems=problems, notes=listing.notes)
            if not problems:
                problems = class_problems(store, spec)
            splits = tuple(_measured(store, split, progress) for split in SPLITS)
            return DataReport(
                classes=spec.classes,
                bands=store.meta.bands,
                dtype=store.meta.dtype,
                mean=store.meta.mean,
                std=store.meta.std,
                fingerprint="" if problems else store.meta.fingerprint,
                splits=splits,
                problems=problems,
                suspicions=tuple(_suspicions(store, splits)),
                notes=(*listing.notes, *store.meta.notes),
            )
    except UserError as error:
        return DataReport(spec.classes, problems=error.problems)


def _measured(store: Store, split: SplitName, progress: Progress) -> SplitReport:
    items, classes = store.items, len(store.meta.classes)
    rows = items.rows(split)
    areas = []
    for done, mask in enumerate(store.masks_of(split), start=1):
        areas.append(object_areas(mask, classes))
        progress(f"objects of {split}", done, len(rows))
    counts = items.counts[rows]
    labelled = max(1, int(counts[:, :-1].sum()))
    sizes = sorted({(int(h), int(w)) for h, w in zip(items.heights[rows], items.widths[rows], strict=True)})
    return SplitReport(
        name=split,
        images=len(rows),
        sizes=tuple(sizes),
        fractions=tuple(float(count / labelled) for count in counts[:, :-1].sum(axis=0)),
        shown_in=tuple(map(int, (counts[:, :-1] > 0).sum(axis=0))),
        ignored=float(counts[:, -1].sum() / max(1, counts.sum())),
        empty=int((~counts[:, 1:-1].any(axis=1)).sum()),
        objects=tuple(summarize(image[index] for image in areas) for index in range(classes)),
    )


def _suspicions(store: Store, splits: Sequence[SplitReport]) -> Iterator[str]:
    yield from store.meta.suspicions
    yield from _ignored_whole(store)
    yield from _duplicates(store)
    if not splits[0].images:
        return
    train, *others = (split for split in splits if split.images)
    names = store.meta.classes
    if names[0] == _BACKGROUND and train.fractions[0] < min(train.fractions[1:]):
        yield (
            f"train: class {names[0]} covers {train.fractions[0]:.3%} of the pixels, less than any other: are"
            " the masks inverted?"
        )
    for split in others:
        for index, name in enumerate(names):
            if split.fractions[index] == 0.0:
                but = (
                    f"; but {split.ignored:.3%} of the pixels are ignored" if index and split.ignored else ""
                )
                yield f"{split.name}: class {name} has no pixel, so nothing can be measured of it{but}"
            elif train.fractions[index] > 0.0:
                ratio = split.fractions[index] / train.fractions[index]
                if not 1 / _DRIFT_FRACTION <= ratio <= _DRIFT_FRACTION:
                    yield (
                        f"{split.name}: class {name} covers {split.fractions[index]:.3%} of the pixels, but"
                        f" {train.fractions[index]:.3%} in train"
                    )
            if index and 0 < split.objects[index].count < _FEW_OBJECTS:
                count = split.objects[index].count
                yield f"{split.name}: only {count} objects of class {name}: expect noisy figures"
    yield from _levels(store)


def _ignored_whole(store: Store) -> Iterator[str]:
    labelled: NDArray[np.bool_] = np.asarray(store.items.counts[:, :-1].any(axis=1))
    for split in SPLITS:
        rows = store.items.rows(split)
        found = rows[np.logical_not(labelled[rows])]
        if len(found):
            yield f"{split}: {len(found)} masks are wholly ignored: {_named(store, found)}"


def _duplicates(store: Store) -> Iterator[str]:
    """Images with equal pixels: across splits they leak, within one they weigh double."""
    items = store.items
    shown = np.flatnonzero(items.counts[:, :-1].any(axis=1))  # empty margins of scenes are all alike
    order = shown[np.argsort(items.digests[shown], kind="stable")]
    changes = np.flatnonzero(np.diff(items.digests[order])) + 1
    groups = [group for group in np.split(order, changes) if len(group) > 1]
    groups.sort(key=lambda group: -len(set(items.splits[group])))
    if len(groups) > _MOST_GROUPS:
        yield f"{len(groups)} images occur more than once; the first:"
    for group in groups[:_MOST_GROUPS]:
        found = sorted({SPLITS[split] for split in items.splits[group]}, key=SPLITS.index)
        where = f"in {' and '.join(found)}: the splits leak" if len(found) > 1 else f"twice in {found[0]}"
        yield f"the same image is {where}: {_named(store, group)}"


def _levels(store: Store, sample: int = 200_000) -> Iterator[str]:
    """Bands that are much brighter or darker than in training, measured on an even sample of the pixels."""
    items = store.items
    for split in SPLITS[1:]:
        rows = items.rows(split)
        if not len(rows):
            continue
        first = int(items.offsets[rows[0]])
        extent = slice(first, first + int(items.areas[rows].sum()))
        step = max(1, (extent.stop - extent.start) // sample)
        labelled = store.masks[extent][::step] < len(store.meta.classes)
        pixels = store.images[extent][::step][labelled]
        if not len(pixels):
            continue
        means = map(float, pixels.mean(axis=0))
        for band, (here, mean, std) in enumerate(zip(means, store.meta.mean, store.meta.std, strict=True)):
            if abs(here - mean) > _DRIFT_LEVEL * std:
                yield f"{split}: band {band} has the mean {here:.4g}, but {mean:.4g} +- {std:.4g} in train"


def _named(store: Store, rows: NDArray[np.integer[Any]]) -> str:
    names = ", ".join(str(store.items.names[row]) for row in rows[:_MOST_NAMED])
    return names + (f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else "")
