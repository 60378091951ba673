"""Finds images and their masks by the patterns of a layout; reads names, and the lists of splits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lossweep.trainers.data.layout_spec import Layout
from lossweep.trainers.data.sources.source import Problems
from lossweep.trainers.data.spec import SPLITS, SplitName

Pair = tuple[Path, Path]
ANY_SUFFIX: Final = ".*"
_MOST_NAMED = 3
_SIDECARS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class _Key:
    """What an image and its mask have in common; no split where none is in their paths."""

    split: SplitName | None
    name: str


def laid_out(
    root: Path,
    layout: Layout,
    images: Sequence[str],
    masks: Sequence[str],
    problems: Problems,
    notes: list[str],
) -> dict[SplitName | None, list[Pair]]:
    """Find the pairs of (image, mask), by split; under None where files say no splits.

    Args:
        root: the data set's folder.
        layout: where in it they lie.
        images: suffixes of image files, lower case.
        masks: suffixes of mask files, lower case.
        problems: collects what is wrong.
        notes: collects what was left out.
    """
    found = _Files(root, layout, images, masks, problems)
    if not found.images:
        problems.add("no image lies where layout says", root, found=_lying(root), allowed=layout.images)
    if not found.masks and found.shared is None:
        problems.add("no mask lies where layout says", root, found=_lying(root), allowed=layout.masks)
    if problems.found:
        return {}
    wanted = (
        _listed(root, layout, found, problems, notes)
        if layout.lists
        else sorted(found.images, key=lambda key: (key.split or "", key.name))
    )
    pairs: dict[SplitName | None, list[Pair]] = {}
    alone = list[Path]()
    for key in wanted:
        split, image = key.split, found.images[_Key(None, key.name) if layout.lists else key]
        mask = found.mask_of(_Key(None, key.name) if layout.lists else key)
        if mask is None:
            alone.append(image)
        else:
            pairs.setdefault(split, []).append((image, mask))
    _tell_alone(layout, alone, problems, notes)
    if not layout.lists:
        orphans = sorted(path for key, path in found.masks.items() if key not in found.images)
        for path in orphans:
            problems.add("mask has no image", path, hint=f"expected it where layout says: {layout.images}")
    return pairs


class _Files:
    """The images and the masks of a folder, by what they have in common."""

    def __init__(
        self, root: Path, layout: Layout, images: Sequence[str], masks: Sequence[str], problems: Problems
    ) -> None:
        words: dict[str, SplitName] = {getattr(layout.splits, split): split for split in SPLITS}
        image, mask = pattern(layout.images, words, images), pattern(layout.masks, words, masks)
        mask_first = len(_literal(layout.masks)) >= len(_literal(layout.images))
        self.images: dict[_Key, Path] = {}
        self.masks: dict[_Key, Path] = {}
        self._by_split: dict[SplitName | None, Path] = {}
        self._shared = "{name}" not in layout.masks
        for relative in files_below(root):
            as_image, as_mask = image.fullmatch(relative), mask.fullmatch(relative)
            if as_image and as_mask:  # the pattern that says more decides
                as_image, as_mask = (None, as_mask) if mask_first else (as_image, None)
            if as_image:
                self._add(self.images, _key(as_image, words), root / relative, problems)
            elif as_mask and self._shared:
                self._by_split[_key(as_mask, words).split] = root / relative
            elif as_mask:
                self._add(self.masks, _key(as_mask, words), root / relative, problems)

    @property
    def shared(self) -> Path | None:
        """A mask that labels every image."""
        return next(iter(self._by_split.values()), None)

    def mask_of(self, key: _Key) -> Path | None:
        """The mask of an image; None when there is none."""
        if self._shared:
            return self._by_split.get(key.split) or self._by_split.get(None)
        return self.masks.get(key) or self.masks.get(_Key(None, key.name))

    @staticmethod
    def _add(files: dict[_Key, Path], key: _Key, path: Path, problems: Problems) -> None:
        if key in files:
            problems.add("another file is of the same name in layout", path, found=files[key].name)
        files[key] = path


def pattern(path: str, words: Mapping[str, SplitName], suffixes: Sequence[str]) -> re.Pattern[str]:
    """Return the regular expression that a layout's path stands for, with the groups ``name`` and ``split``.

    Args:
        path: with ``{name}``, ``{split}`` and ``.*``.
        words: for the splits.
        suffixes: that ``.*`` stands for.
    """
    text = re.escape(path.removesuffix(ANY_SUFFIX))
    text = text.replace(r"\{name\}", "(?P<name>.+)").replace(r"\{split\}", "(?P<split>SPLIT)", 1)
    text = text.replace(r"\{split\}", "(?P=split)")
    text = text.replace("SPLIT", "|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    if path.endswith(ANY_SUFFIX):
        text += f"(?i:{'|'.join(map(re.escape, suffixes))})"
    return re.compile(text, re.DOTALL)


def files_below(root: Path) -> Iterator[str]:
    """Yield the paths of the files below a folder, from it, in order.

    Left out are hidden ones, what sweeps left behind in a workspace there, and links to a folder above.
    """
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_followed(Path(folder, name)))
        at = Path(folder).relative_to(root)
        for name in sorted(files):
            if not name.startswith(".") and name.lower() not in _SIDECARS:
                yield (at / name).as_posix()


def _is_followed(folder: Path) -> bool:
    """Whether data may lie there; the pictures of a workspace's reports are none."""
    if folder.name.startswith(".") or (
        folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
    ):
        return False
    return not ((folder / "lossweep.db").exists() or (folder / "cache" / "data").is_dir())


def _key(match: re.Match[str], words: Mapping[str, SplitName]) -> _Key:
    groups = match.groupdict()
    word = groups.get("split")
    return _Key(words[word] if word else None, groups.get("name") or "")


def _literal(path: str) -> str:
    return path.removesuffix(ANY_SUFFIX).replace("{name}", "").replace("{split}", "")


def _listed(root: Path, layout: Layout, found: _Files, problems: Problems, notes: list[str]) -> list[_Key]:
    """The images that the lists of splits name."""
    assert layout.lists is not None
    listed, missing = list[_Key](), list[tuple[str, Path]]()
    for split in SPLITS:
        file = root / layout.lists.replace("{split}", getattr(layout.splits, split))
        if not file.exists():
            continue
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            problems.add(f"list can't be read: {error}", file)
            continue
        names = dict.fromkeys(filter(None, (_name(line, found) for line in lines)))
        listed += [_Key(split, name) for name in names if _Key(None, name) in found.images]
        missing += [(name, file) for name in names if _Key(None, name) not in found.images]
    for name, file in missing:
        problems.add("list names an image that is not there", file, found=name, allowed=layout.images)
    if not listed and not missing:
        problems.add("no list of images lies where layout says", root, allowed=layout.lists)
    if left := len(found.images) - len({key.name for key in listed}):
        notes.append(f"{left} images are in no list: left out")
    return listed


def _name(line: str, found: _Files) -> str:
    """The name that a line of a list stands for: itself, or the stem of a path."""
    text = line.strip().split(" ")[0] if _Key(None, line.strip()) not in found.images else line.strip()
    if not text or _Key(None, text) in found.images:
        return text
    return Path(text).stem if _Key(None, Path(text).stem) in found.images else text


def _tell_alone(layout: Layout, alone: Sequence[Path], problems: Problems, notes: list[str]) -> None:
    if not alone:
        return
    if layout.unlabelled == "out":
        names = ", ".join(path.name for path in alone[:_MOST_NAMED])
        more = f" and {len(alone) - _MOST_NAMED} more" if len(alone) > _MOST_NAMED else ""
        notes.append(f"{names}{more}: left out, images without a mask")
        return
    for path in alone:
        problems.add(
            "image has no mask",
            path,
            hint=f"expected one where layout says: {layout.masks}; `unlabelled: out` leaves such images out",
        )


def _lying(root: Path) -> str:
    """A few of the files that are there."""
    found = list[str]()
    for path in files_below(root):
        found.append(path)
        if len(found) > _MOST_NAMED:
            break
    return ", ".join(found[:_MOST_NAMED]) + (" and more" if len(found) > _MOST_NAMED else "") or "no file"
