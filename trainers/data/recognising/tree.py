"""The files of a folder by their paths, and what words in a path say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lossweep.trainers.data.layout_spec import SplitWords
from lossweep.trainers.data.sources.images import SUFFIXES
from lossweep.trainers.data.sources.laid_out import files_below
from lossweep.trainers.data.spec import SPLITS, SplitName

_SPLIT_WORDS: Final[Mapping[SplitName, tuple[str, ...]]] = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "tst"),
}
SPLIT_OF: Final = {word: split for split, words in _SPLIT_WORDS.items() for word in words}

IMAGE_WORDS: Final = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "im",
        "imagery",
        "photo",
        "photos",
        "picture",
        "pictures",
        "frame",
        "frames",
        "rgb",
        "sat",
        "jpegimages",
        "leftimg8bit",
        "input",
        "inputs",
        "scene",
        "scenes",
    ]
)
MASK_WORDS: Final = frozenset(
    [
        "mask",
        "masks",
        "label",
        "labels",
        "lbl",
        "annotation",
        "annotations",
        "annot",
        "ann",
        "gt",
        "groundtruth",
        "truth",
        "seg",
        "segmentation",
        "segmentations",
        "segmentationclass",
        "target",
        "targets",
        "gtfine",
        "labelids",
        "trainids",
    ]
)
_SEPARATED: Final = re.compile(r"[^A-Za-z0-9]+")
_WORDS: Final = "|".join(sorted(SPLIT_OF, key=len, reverse=True))
_JOINED: Final = re.compile(
    rf"(?i)({_WORDS})(?=({'|'.join(sorted(IMAGE_WORDS | MASK_WORDS, key=len, reverse=True))})$)"
)
"""``trainannot``, ``valmasks``: a split's word that nothing separates from what lies there."""
_ALONE: Final = re.compile(rf"(?i)(?<![A-Za-z0-9])({_WORDS})(?![A-Za-z])\d*(?![A-Za-z0-9])")


@dataclass(frozen=True)
class Tree:
    """The files of a folder.

    Attributes:
        root: the folder.
        files: their paths from it, in order, hidden ones left out.
    """

    root: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, root: Path) -> Tree:
        """List a folder and what is below it."""
        return cls(root, tuple(files_below(root)))

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        """The files that end in one of these, which are in lower case."""
        return tuple(file for file in self.files if file.lower().endswith(suffixes))

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """The files that can be read as images or masks."""
        return self.ending(*SUFFIXES)

    def told(self, most: int = 5) -> str:
        """What lies there, for a person: how many files of which kind in which folder."""
        kinds = Counter((str(PurePosixPath(file).parent), PurePosixPath(file).suffix) for file in self.files)
        said = [
            f"{count} {suffix or 'without suffix'} in {'the folder' if folder == '.' else folder + '/'}"
            for (folder, suffix), count in kinds.most_common(most)
        ]
        return ", ".join(said) + (f" and {len(kinds) - most} further kinds" if len(kinds) > most else "")


def words_of(text: str) -> frozenset[str]:
    """The words of a name, in lower case."""
    return frozenset(filter(None, _SEPARATED.split(text.lower())))


def split_in(text: str) -> re.Match[str] | None:
    """Where a name says a split; None where it doesn't."""
    return _JOINED.match(text) or _ALONE.search(text)


def split_of(word: str) -> SplitName:
    """The split that a word found by `split_in` stands for; years and numbers behind it left out."""
    return SPLIT_OF[word.lower().rstrip("0123456789")]


@dataclass
class Group:
    """Files that lie in places of one kind: a folder, or a folder for each split.

    Attributes:
        base: the folders' path, with ``{split}`` where a split's word stands.
        words: the split's words that occur.
        files: by split (None where none is said) and name: what follows on the base, without suffix.
    """

    base: str
    words: dict[SplitName, str] = field(default_factory=dict)
    files: dict[tuple[SplitName | None, str], list[str]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """What the files are called."""
        return frozenset(name for _, name in self.files)

    @property
    def splits(self) -> frozenset[SplitName | None]:
        """The splits that occur."""
        return frozenset(split for split, _ in self.files)

    def suffixes(self, names: frozenset[str] | None = None) -> frozenset[str]:
        """Those of its files, in lower case."""
        return frozenset(
            PurePosixPath(file).suffix.lower()
            for (_, name), files in self.files.items()
            for file in files
            if names is None or name in names
        )

    def pattern(self, before: str, behind: str, suffix: str = ".*") -> str:
        """The path of its files in a layout."""
        # Folders of a name come before what stands before its stem only when nothing does.
        return f"{self.base}{before}{{name}}{behind}{suffix}"


def grouped(files: Iterator[str] | tuple[str, ...]) -> list[Group]:
    """Group files by where they lie, splits taken together; the largest group first."""
    groups: dict[str, Group] = {}
    for file in files:
        *folders, last = file.split("/")
        depth, word, said = 0, "", None
        parts = list(folders)
        for index, folder in enumerate(folders):
            if said is None and (match := split_in(folder)):
                said, word, depth = split_of(match[0]), match[0], index + 1
                parts[index] = f"{folder[: match.start()]}{{split}}{folder[match.end() :]}"
            elif words_of(folder) & (IMAGE_WORDS | MASK_WORDS):
                depth = max(depth, index + 1)
        base = "".join(f"{part}/" for part in parts[:depth])
        name = "/".join([*folders[depth:], PurePosixPath(last).stem])
        group = groups.setdefault(base, Group(base))
        if said is not None and group.words.setdefault(said, word) != word:
            continue  # two words for one split: no layout can say both
        group.files.setdefault((said, name), []).append(file)
    return sorted(groups.values(), key=lambda group: (-len(group.files), group.base))


def split_words(*groups: Group) -> dict[str, Any] | None:
    """The ``splits`` of a layout over groups; None when they call a split by different words."""
    words: dict[str, str] = {}
    for group in groups:
        for split, word in group.words.items():
            if words.setdefault(split, word) != word:
                return None
    return {split: words.get(split, SplitWords.model_fields[split].default) for split in SPLITS}
