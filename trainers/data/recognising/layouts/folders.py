"""Images in one place and masks in another, whatever the folders are called, with splits or without."""

from __future__ import annotations

from collections.abc import Iterator

from lossweep.trainers.data.layout_spec import Layout, SplitWords
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.tree import (
    IMAGE_WORDS,
    MASK_WORDS,
    Group,
    Tree,
    grouped,
    split_words,
    words_of,
)
from lossweep.trainers.data.sources.affixes import Affix, difference

_NONE: Affix = ("", "")
_MOST_GROUPS = 12


class Folders(Recogniser):
    """Recognised by names that fit: equal, or with something before or behind."""

    place = 5

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield each two groups of pictures whose names pair."""
        groups = grouped(tree.pictures)[:_MOST_GROUPS]
        for images in groups:
            for masks in groups:
                if images is not masks:
                    yield from between(images, masks, "images and masks in folders")


def between(images: Group, masks: Group, kind: str) -> Iterator[Candidate]:
    """Yield what two groups may be: images, and their masks."""
    words = split_words(images, masks)
    as_image, as_mask = role(images.base), role(masks.base)
    if words is None or as_image < 0 or as_mask > 0 or not masks.splits <= images.splits | {None}:
        return
    affixes = paired(images.names, masks.names)
    if affixes is None:
        return
    of_images, of_masks = affixes
    yield Candidate(
        kind=kind,
        source="folder",
        layout=Layout(
            images=images.pattern(*of_images),
            masks=masks.pattern(*of_masks),
            splits=SplitWords.model_validate(words),
        ),
        certainty=as_image - as_mask,
    )


def role(base: str) -> int:
    """What the last folder of a path says that its files are: 1 images, -1 masks, 0 nothing."""
    for folder in reversed(base.strip("/").split("/")):
        words = words_of(folder.replace("{split}", " "))
        if words & MASK_WORDS:
            return -1
        if words & IMAGE_WORDS:
            return 1
    return 0


def paired(images: frozenset[str], masks: frozenset[str]) -> tuple[Affix, Affix] | None:
    """What stands before and behind what names of images and masks share; None: they don't pair."""
    least = max(1.0, min(len(images), len(masks)) / 2)
    if len(images & masks) >= least:
        return _NONE, _NONE
    found = difference(images, masks)
    if found is None or found.affixes is None or len(found.masks) < least:
        return None
    return found.affixes
