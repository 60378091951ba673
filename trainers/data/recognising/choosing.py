"""Chooses among the ways in which a folder's files may be images and masks, or says what to type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from lossweep.spaces.discovery import defined_in
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.layout_spec import Layout, SplitWords
from lossweep.trainers.data.recognising import layouts
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.tree import SPLIT_OF, Tree, split_of
from lossweep.trainers.data.recognising.values import is_mask
from lossweep.trainers.data.sources.images import SUFFIXES
from lossweep.trainers.data.sources.laid_out import Pair, laid_out, pattern
from lossweep.trainers.data.sources.polygons import SUFFIXES as VECTORS
from lossweep.trainers.data.sources.source import Problems
from lossweep.trainers.data.spec import SplitName

Pairs = Mapping[SplitName | None, Sequence[Pair]]

RECOGNISERS: Final = defined_in(layouts, Recogniser)
EXPECTED: Final = (
    "images and masks that pair by their names, such as images/a.jpg and masks/a.png, a.jpg and a_mask.png,"
    " or train/images/a.jpg and train/masks/a.png; or say where they lie, such as"
    " --images 'photos/{name}.*' --masks 'labels/{name}_gt.*'"
)
_SAMPLED: Final = 3
_MOST_NAMED: Final = 4
_LEFT_OUT: Final = "images without a mask"


@dataclass(frozen=True, slots=True)
class _Rated:
    candidate: Candidate
    merit: int
    pairs: int


def chosen(tree: Tree, images: str | None = None, masks: str | None = None) -> Candidate:
    """Return how a folder's files are images and masks.

    Args:
        tree: the files.
        images: a layout's path of the images, as a person gave it.
        masks: likewise of the masks, or of annotations.

    Raises:
        UserError: nothing is recognised, or several things are; with what to type.
    """
    if images and masks:
        return _said(tree, images, masks)
    for recogniser in RECOGNISERS:
        found = [
            each
            for each in _distinct(recogniser().candidates(tree))
            if images in (None, *_places(each)[:1]) and masks in (None, *_places(each)[1:])
        ]
        rated = [each for each in (_rated(tree, candidate) for candidate in found) if each is not None]
        if not rated:
            continue
        best = max(each.merit for each in rated)
        most = max(each.pairs for each in rated if each.merit == best)
        surest = [each.candidate for each in rated if each.merit == best and each.pairs >= most / 2]
        if len(surest) > 1:
            raise UserError(_ambiguous(tree, surest))
        return surest[0]
    said = ", ".join(filter(None, (images, masks)))
    raise UserError(
        Problem(
            f"nothing pairs with {said}" if said else "no images with masks are recognised",
            file=str(tree.root),
            found=tree.told() or "an empty folder",
            allowed=EXPECTED,
        )
    )


def paired(tree: Tree, candidate: Candidate) -> tuple[Candidate, Pairs, tuple[str, ...]]:
    """Return a candidate's pairs, with notes; one with images that have no mask leaves them out.

    Raises:
        UserError: with what its files lack otherwise.
    """
    layout = candidate.layout
    assert layout is not None
    notes, problems = list[str](), Problems()
    lenient = layout.model_copy(update={"unlabelled": "out"})
    found = _pairs(tree, replace(candidate, layout=lenient), problems, notes)
    if problems.found:
        raise UserError(problems.found)
    some_left_out = any(_LEFT_OUT in note for note in notes)
    return replace(candidate, layout=lenient if some_left_out else layout), found, tuple(notes)


def _pairs(tree: Tree, candidate: Candidate, problems: Problems, notes: list[str]) -> Pairs:
    assert candidate.layout is not None
    suffixes = (*SUFFIXES, *VECTORS) if candidate.source == "raster" else SUFFIXES
    return laid_out(tree.root, candidate.layout, SUFFIXES, suffixes, problems, notes)


def _rated(tree: Tree, candidate: Candidate) -> _Rated | None:
    """Rate a candidate by what names say, and what a few of its files look like; None: it is none."""
    if candidate.layout is None:
        return _Rated(candidate, candidate.certainty, 1)
    every = [pair for pairs in _pairs(tree, candidate, Problems(), []).values() for pair in pairs]
    if not every:
        return None
    sample = every[:: max(1, len(every) // _SAMPLED)][:_SAMPLED]
    if sample[0][1].suffix.lower() in VECTORS:
        return _Rated(candidate, candidate.certainty, len(every))
    masks = all(is_mask(mask) for _, mask in sample)
    images = not any(is_mask(image) for image, _ in sample)
    if not masks and candidate.certainty <= 0:
        return None
    return _Rated(candidate, candidate.certainty + 4 * masks + 2 * images, len(every))


def _said(tree: Tree, images: str, masks: str) -> Candidate:
    """What a person says; the words of the splits are those that occur."""
    words: dict[SplitName, str] = {}
    try:
        layout = Layout(images=images, masks=masks)
    except ValidationError as error:
        problems = [Problem(each["msg"].removeprefix("Value error, ")) for each in error.errors()]
        raise UserError([replace(each, key="--images and --masks") for each in problems]) from None
    if "{split}" in images:
        every: dict[str, SplitName] = {
            spelt: split for word, split in SPLIT_OF.items() for spelt in (word, word.title(), word.upper())
        }
        matching = pattern(images, every, SUFFIXES)
        for match in filter(None, map(matching.fullmatch, tree.files)):
            words.setdefault(split_of(match["split"]), match["split"])
    layout = layout.model_copy(update={"splits": SplitWords.model_validate(words)})
    vector = masks.lower().endswith(VECTORS)
    return Candidate("images and masks as said", "raster" if vector else "folder", layout, certainty=9)


def _distinct(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    seen = list[Any]()
    for each in candidates:
        key = (each.source, each.layout, each.keys)
        if key not in seen:
            seen.append(key)
            yield each


def _places(candidate: Candidate) -> tuple[str, str]:
    """Where a candidate's images lie, and its masks, as they can be said."""
    if candidate.layout is None:
        return str(candidate.keys["images"]), str(candidate.keys["annotations"])
    return candidate.layout.images, candidate.layout.masks


def _ambiguous(tree: Tree, candidates: Sequence[Candidate]) -> Problem:
    """Which of them is meant: each as it would be typed."""
    places = [_places(each) for each in candidates]
    differing = [len({place[kind] for place in places}) > 1 for kind in (0, 1)]
    typed = [
        " ".join(
            f"--{name} '{place[kind]}'" for kind, name in enumerate(("images", "masks")) if differing[kind]
        )
        for place in places
    ]
    what = "images and masks" if all(differing) else ("images", "masks")[differing[1]]
    more = f" or {len(typed) - _MOST_NAMED} more" if len(typed) > _MOST_NAMED else ""
    return Problem(
        f"{what} may be any of {len(typed)}",
        file=str(tree.root),
        hint=f"say which: {', or '.join(typed[:_MOST_NAMED])}{more}",
    )
