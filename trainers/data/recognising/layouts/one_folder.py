"""Images and masks side by side in one folder, told apart by the ends or beginnings of their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from lossweep.trainers.data.layout_spec import Layout, SplitWords
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.layouts.folders import paired
from lossweep.trainers.data.recognising.tree import (
    IMAGE_WORDS,
    MASK_WORDS,
    Group,
    Tree,
    grouped,
    split_words,
    words_of,
)

_SEPARATORS: Final = "_-. "
_MOST_GROUPS: Final = 6
_LEAST: Final = 0.2
"""Of the files: as many have to end alike to be masks."""


class OneFolder(Recogniser):
    """Recognised by what many names end or start with (``a.jpg`` and ``a_mask.png``), or by two suffixes."""

    place = 6

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield each way to tell the files of a group apart."""
        for group in grouped(tree.pictures)[:_MOST_GROUPS]:
            words = split_words(group)
            if words is not None:
                splits = SplitWords.model_validate(words)
                yield from _by_affix(group, splits)
                yield from _by_suffix(group, splits)


def _by_affix(group: Group, splits: SplitWords) -> Iterator[Candidate]:
    names = group.names
    counted = Counter[tuple[str, bool]]()
    for name in names:
        stem = name.rpartition("/")[2]
        last, first = (
            max(map(stem.rfind, _SEPARATORS)),
            min(filter(lambda at: at >= 0, map(stem.find, _SEPARATORS)), default=-1),
        )
        if last > 0 and not stem[last + 1 :].isdigit():
            counted[stem[last:], True] += 1
        if first > 0 and not stem[:first].isdigit():
            counted[stem[: first + 1], False] += 1
    for (affix, behind), count in counted.most_common(4):
        if count < max(2, _LEAST * len(names)):
            continue
        masks = frozenset(name for name in names if _has(name, affix, behind))
        affixes = paired(names - masks, masks)
        if affixes is None or affixes[1] != (("", affix) if behind else (affix, "")):
            continue
        of_images, of_masks = affixes
        said = bool(words_of(affix) & MASK_WORDS) - bool(words_of(affix) & IMAGE_WORDS)
        said += bool(words_of("".join(of_images)) & IMAGE_WORDS) - bool(
            words_of("".join(of_images)) & MASK_WORDS
        )
        yield Candidate(
            kind="images and masks in one folder",
            source="folder",
            layout=Layout(images=group.pattern(*of_images), masks=group.pattern(*of_masks), splits=splits),
            certainty=said,
        )


def _has(name: str, affix: str, behind: bool) -> bool:
    stem = name.rpartition("/")[2]
    return stem.endswith(affix) if behind else stem.startswith(affix)


def _by_suffix(group: Group, splits: SplitWords) -> Iterator[Candidate]:
    both = Counter[tuple[str, ...]]()
    for files in group.files.values():
        both[tuple(sorted(f".{file.rpartition('.')[2]}" for file in files))] += 1
    for suffixes, count in both.most_common(1):
        if len(suffixes) != 2 or len(set(suffixes)) != 2 or count < len(group.files) / 2:
            continue
        for image, mask in (suffixes, suffixes[::-1]):
            lossy = (".jpg", ".jpeg")
            yield Candidate(
                kind="images and masks in one folder",
                source="folder",
                layout=Layout(
                    images=group.pattern("", "", image), masks=group.pattern("", "", mask), splits=splits
                ),
                certainty=(image.lower() in lossy) - (mask.lower() in lossy),
            )
