"""From a spec to splits ready to train on: decoded once a machine, then mapped from disk by every process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.sources import mask_hints
from lossweep.trainers.data.sources.source import Listing, Progress, Source, silent
from lossweep.trainers.data.spec import DataSpec
from lossweep.trainers.data.store.building import build
from lossweep.trainers.data.store.decoded import FORMAT, Store
from lossweep.trainers.imports import load_object

MOST_SHOWN = 20
"""Problems listed in an error; how many more there are is said."""


@dataclass(frozen=True, slots=True)
class SegmentationData:
    """Everything a trial needs of the data.

    Attributes:
        prior: the classes and their training frequencies.
        fingerprint: ``sha256:...`` of the decoded data.
        channels: bands of an image.
        train: crops for training.
        val: whole images that thresholds and switches are decided on.
        test: whole images that only a confirmation reads; may be empty.
        suspicions: what a person should look at, of what files say; `check_data` finds more in the figures.
    """

    prior: ClassPrior
    fingerprint: str
    channels: int
    train: Split
    val: Split
    test: Split
    suspicions: tuple[str, ...] = ()


def load_data(spec: DataSpec, cache: Path, progress: Progress | None = None) -> SegmentationData:
    """Load a sweep's data; decode it first when this machine has not yet.

    Several processes may call this at once: one decodes, the others wait for it.

    Args:
        spec: where the data comes from, its paths resolved.
        cache: folder of decoded data, made when missing.
        progress: told of what is being read and decoded.

    Raises:
        UserError: with every file that is missing, damaged or doesn't fit.
    """
    source = open_source(spec)
    listing = source.listing()
    with opened_store(spec, source, listing, cache, progress or silent) as (store, problems):
        problems = (*problems, *(class_problems(store, spec) if store and not problems else ()))
        if problems:
            raise UserError(shortened(problems))
    assert store is not None  # a build without problems writes one
    train, val, test = (
        Split(store, name, spec.tile, spec.augment, spec.crops) for name in ("train", "val", "test")
    )
    meta = store.meta
    return SegmentationData(
        store.prior, meta.fingerprint, meta.bands, train, val, test, suspicions=meta.suspicions
    )


def open_source(spec: DataSpec) -> Source:
    """Return the source a spec describes.

    What reads it is imported here: rasterio and users' modules must not cost those who don't use them.
    """
    reader = load_object(spec.reader, "data.source")
    source: Source = reader(spec)
    return source


@contextmanager
def opened_store(
    spec: DataSpec, source: Source, listing: Listing, cache: Path, progress: Progress
) -> Iterator[tuple[Store | None, tuple[Problem, ...]]]:
    """Open the store of a source, building it when the cache has none.

    Yields the store and all problems, of the listing and met while building. With problems the store holds
    what could be decoded, is not kept, and must not be used after the context ends; it is None when nothing
    could be decoded.
    """
    text = f"{FORMAT}\n{spec.classes}\n{source.content_key(listing, cache, progress)}"
    # A file name that is no UTF-8 holds surrogates.
    key = sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
    place = cache / "data" / key
    if not listing.problems and (store := Store.open(place)):
        yield store, ()
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            Problem(f"can't make the cache folder: {error.strerror}", file=str(place.parent))
        ) from None
    with FileLock(place.with_suffix(".lock")):
        if not listing.problems and (
            store := Store.open(place)
        ):  # another process built it while this one waited
            yield store, ()
            return
        for torn in place.parent.glob(f"{key}.*.building"):  # of a process that was killed: we hold the lock
            shutil.rmtree(torn, ignore_errors=True)
        building = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".building", dir=place.parent))
        try:
            problems = _built(source, listing, spec, building, progress)
            problems = (*listing.problems, *problems)
            if not problems:
                shutil.rmtree(place, ignore_errors=True)  # a torn one, or of another format
                building.rename(place)
            yield Store.open(building if problems else place), problems
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _built(
    source: Source,
    listing: Listing,
    spec: DataSpec,
    folder: Path,
    progress: Progress,
) -> tuple[Problem, ...]:
    try:
        return build(source, listing.items, spec, folder, progress)
    except OSError as error:
        problem = Problem(f"can't write the data cache: {error.strerror or error}", file=str(folder.parent))
        raise UserError(problem) from error


def class_problems(store: Store, spec: DataSpec) -> tuple[Problem, ...]:
    """What makes a whole store unfit for training: a class without a pixel to learn from."""
    counts = store.items.class_counts("train")
    *labelled, ignored = (int(count) for count in counts)
    hints = list[str]()
    for name in store.meta.classes:
        hint = "leave the class out, or put an image that shows it into train"
        if ignored and name != store.meta.classes[0]:
            hint = f"{ignored} pixels are ignored: {mask_hints.for_ignored(spec, name)}; or {hint}"
        hints.append(hint)
    return tuple(
        Problem(f"class {name!r} has no pixel in the training masks", key="data.classes", hint=hint)
        for name, hint, count in zip(store.meta.classes, hints, labelled, strict=True)
        if count == 0
    )


def shortened(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The first problems, and one that says how many more there are."""
    if len(problems) <= MOST_SHOWN:
        return tuple(problems)
    more = Problem(f"and {len(problems) - MOST_SHOWN} more problems", hint="`lossweep check` lists them all")
    return (*problems[:MOST_SHOWN], more)
