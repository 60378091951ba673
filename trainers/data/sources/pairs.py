"""Finds images and their masks in folders, split by split; reads names only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lossweep.spaces.files.errors import Problem
from lossweep.trainers.data.sources import affixes
from lossweep.trainers.data.sources.dividing import divided, with_splits_from_train
from lossweep.trainers.data.sources.laid_out import Pair, laid_out
from lossweep.trainers.data.sources.source import Item, Listing, Problems
from lossweep.trainers.data.spec import SPLITS, FolderSource, RasterSource, SplitName


def list_pairs(spec: FolderSource | RasterSource, images: Sequence[str], masks: Sequence[str]) -> Listing:
    """List the pairs of a data set: items whose place is (image file, mask file).

    Args:
        spec: with its root absolute.
        images: suffixes of image files, lower case.
        masks: suffixes of mask files, lower case.
    """
    root = Path(spec.root)
    chosen: Mapping[SplitName, Sequence[Pair]]
    if spec.split is not None:
        found, pairs = find_pairs(spec, images, masks)
        problems, notes = Problems(list(found.problems)), list(found.notes)
        chosen = divided(root, pairs, spec.split, problems) if pairs else {}
    else:
        problems, notes = Problems(), []
        there = _is_folder(root, problems, "data folder")
        chosen = _by_files(spec, images, masks, problems, notes) if there else {}
    items = tuple(
        Item(image.relative_to(root).as_posix(), split, (image, mask))
        for split in SPLITS
        for image, mask in chosen.get(split, ())
    )
    if not problems.found:
        problems.found.extend(missing_splits(items, root))
    if not any(item.split == "test" for item in items):
        notes.append("no test split: nothing can be confirmed on untouched images")
    return Listing(items, tuple(problems.found), tuple(notes))


def find_pairs(
    spec: FolderSource | RasterSource, images: Sequence[str], masks: Sequence[str]
) -> tuple[Listing, list[Pair]]:
    """Find the pairs of ``root/{images,masks}``, or where a layout says that they lie, undivided.

    The listing holds problems and notes only.
    """
    problems, notes = Problems(), list[str]()
    found, root = list[Pair](), Path(spec.root)
    if _is_folder(root, problems, "data folder"):
        if spec.layout is None:
            found = _pairs(root, images, masks, problems, notes)
        else:
            found = laid_out(root, spec.layout, images, masks, problems, notes).get(None, [])
    return Listing((), tuple(problems.found), tuple(notes)), found


def missing_splits(items: Sequence[Item], root: Path) -> list[Problem]:
    """Training and validation can't do without images."""
    present = {item.split for item in items}
    needed: tuple[SplitName, ...] = ("train", "val")
    return [
        Problem(f"no image is left for the {split} split", file=str(root))
        for split in needed
        if split not in present
    ]


def _is_folder(path: Path, problems: Problems, what: str) -> bool:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return True
        problems.add(f"{what} is a file", path)
    except PermissionError:
        problems.add(f"{what} can't be read: permission denied", path)
    except OSError as error:
        circular = error.errno == errno.ELOOP
        problems.add("symbolic links lead in a circle" if circular else f"{what} is missing", path)
    return False


def _is_there(path: Path) -> bool:
    """Whether something lies there; also where it can't be looked at, which opening it will explain."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _by_files(
    spec: FolderSource | RasterSource,
    images: Sequence[str],
    masks: Sequence[str],
    problems: Problems,
    notes: list[str],
) -> Mapping[SplitName, Sequence[Pair]]:
    """The pairs by the split that their paths say, or a list of a layout."""
    if spec.layout is None:
        chosen = _by_folder(spec, images, masks, problems, notes)
    else:
        found = laid_out(Path(spec.root), spec.layout, images, masks, problems, notes)
        chosen = {split: found.get(split, ()) for split in SPLITS}
    return with_splits_from_train(spec, chosen, problems)


def _by_folder(
    spec: FolderSource | RasterSource,
    images: Sequence[str],
    masks: Sequence[str],
    problems: Problems,
    notes: list[str],
) -> Mapping[SplitName, Sequence[Pair]]:
    root = Path(spec.root)
    if not _is_there(root / "train") and _is_there(root / "images"):
        problems.add(
            "data folder holds images itself, not train, val and test",
            root,
            hint="say how to divide them: `split: {train: 0.7, val: 0.15, test: 0.15}`",
        )
        return {}
    chosen: dict[SplitName, Sequence[Pair]] = {}
    for split in SPLITS:
        given = spec.from_train is not None and getattr(spec.from_train, split, None) is not None
        if (split == "test" or given) and not _is_there(root / split):
            continue
        if _is_folder(root / split, problems, "folder"):
            chosen[split] = _pairs(root / split, images, masks, problems, notes)
    return chosen


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of a folder by their stems.

    Attributes:
        by_stem: those that are read; None where what lies there is a problem already told.
        left_out: those of other kinds.
        suffixes: of those that are read.
    """

    by_stem: Mapping[str, Path | None]
    left_out: Mapping[str, Path]
    suffixes: Sequence[str]


def _pairs(
    folder: Path, images: Sequence[str], masks: Sequence[str], problems: Problems, notes: list[str]
) -> list[Pair]:
    found: dict[str, _Found] = {}
    for kind, suffixes in (("images", images), ("masks", masks)):
        if _is_folder(folder / kind, problems, "folder"):
            try:
                entries = sorted(os.scandir(folder / kind), key=lambda entry: entry.name)
            except OSError as error:
                problems.add(f"folder can't be read: {(error.strerror or str(error)).lower()}", folder / kind)
                continue
            found[kind] = _by_stem(map(Path, entries), suffixes, problems, notes)
    if len(found) < 2:
        return []
    by_image, by_mask = found["images"].by_stem, found["masks"].by_stem
    pairs = list[Pair]()
    alone: dict[str, dict[str, Path]] = {"images": {}, "masks": {}}
    for stem in sorted({*by_image, *by_mask}):
        image, mask = by_image.get(stem), by_mask.get(stem)
        if image is not None and mask is not None:
            pairs.append((image, mask))
        elif image is not None and stem not in by_mask:
            alone["images"][stem] = image
        elif mask is not None and stem not in by_image:
            alone["masks"][stem] = mask
    _tell_alone(folder, found, alone, problems)
    return pairs


def _tell_alone(
    folder: Path, found: Mapping[str, _Found], alone: Mapping[str, dict[str, Path]], problems: Problems
) -> None:
    """Say which images lack a mask and which masks an image, and what lies there instead."""
    images, masks = dict(alone["images"]), dict(alone["masks"])
    candidates = {**found["masks"].left_out, **masks}
    others = {stem: path for stem, path in candidates.items() if stem not in images}
    if images and (differing := affixes.difference(images.keys(), others.keys())):
        stems = list(differing.masks.items())
        more = f" and {len(stems) - 1} more" if len(stems) > 1 else ""
        image, mask = images[stems[0][0]], others[stems[0][1]]
        problems.add(
            f"{differing.sentence}, so that they are no pairs",
            folder,
            found=f"{mask.name} for {image.name}{more}{_why_left_out(mask, found['masks'])}",
            hint="rename them: the stems pair images and masks",
        )
        for image_stem, mask_stem in stems:
            del images[image_stem]
            masks.pop(mask_stem, None)
    for kind, other, lonely in (("image", "mask", images), ("mask", "image", masks)):
        there = found[f"{other}s"]
        for stem, path in lonely.items():
            if stem in there.left_out:
                left = there.left_out[stem]
                instead, hint = f"{left.name}{_why_left_out(left, there)}", "save it as one of these"
            else:
                instead, hint = None, f"expected {folder / f'{other}s' / stem}.*"
            problems.add(f"{kind} has no {other}", path, found=instead, hint=hint)


def _why_left_out(path: Path, found: _Found) -> str:
    if path.suffix.lower() in found.suffixes:
        return ""
    return f", which is left out: {path.suffix or 'no suffix'} is not one of {', '.join(found.suffixes)}"


def _by_stem(
    entries: Iterable[Path], suffixes: Sequence[str], problems: Problems, notes: list[str]
) -> _Found:
    by_stem: dict[str, Path | None] = {}
    left_out: dict[str, Path] = {}
    for path in entries:
        if path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini"):
            continue
        try:
            kind = stat.S_IFMT(path.stat().st_mode)
        except OSError:  # a dangling or circular link, a closed folder: opening it will say so
            kind = stat.S_IFREG
        if kind == stat.S_IFDIR:
            problems.add("a folder lies where only files are read", path)
            by_stem[path.stem] = None
        elif path.suffix.lower() not in suffixes:
            left_out.setdefault(path.stem, path)
        elif kind != stat.S_IFREG:  # reading a pipe would wait for ever, and /dev/zero never ends
            problems.add("a pipe, socket or device, not a file", path)
            by_stem[path.stem] = None
        elif path.stem in by_stem:
            there = by_stem[path.stem]
            problems.add(
                "another file or folder has the same stem", path, found=there.name if there else None
            )
            by_stem[path.stem] = None
        else:
            by_stem[path.stem] = path
    if left_out:
        others = list(left_out.values())
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        notes.append(f"{others[0]}{more}: left out, neither of {', '.join(suffixes)}")
    return _Found(by_stem, left_out, suffixes)
