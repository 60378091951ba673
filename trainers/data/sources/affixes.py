"""What the names of images and masks differ by where they should be equal: a suffix, a prefix, or case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

_SAMPLED = 64
"""Names that are looked at for what may be common to all."""
_SEPARATORS = "_-. "
Affix = tuple[str, str]
"""What stands before and behind a name's stem."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What the names of images and masks differ by.

    Attributes:
        sentence: it, for a person.
        masks: the stem of each image's mask, by the image's.
        affixes: what stands before and behind the common part, of images and of masks; None where they
            differ by case.
    """

    sentence: str
    masks: Mapping[str, str]
    affixes: tuple[Affix, Affix] | None = None


def difference(images: Set[str], masks: Set[str]) -> Difference | None:
    """Find what at least half of the stems differ by; None when there is no such thing.

    What both sides end or start with (``a_sat`` and ``a_mask``) has to explain two pairs.
    """
    if folded := _by_case(images, masks):
        return Difference("names of images and masks differ in upper and lower case", folded)
    votes = Counter[tuple[Affix, Affix]]()
    votes.update((("", ""), affix) for affix in _whole(sorted(masks)[:_SAMPLED], images))
    votes.update((affix, ("", "")) for affix in _whole(sorted(images)[:_SAMPLED], masks))
    votes.update(_both(images, sorted(masks)[:_SAMPLED]))
    for (of_images, of_masks), _ in votes.most_common(3):
        found = _paired(images, masks, of_images, of_masks)
        both = any(of_images) and any(of_masks)
        if len(found) >= max(2 if both else 1, min(len(images), len(masks)) / 2):
            return Difference(_sentence(of_images, of_masks), found, (of_images, of_masks))
    return None


def _by_case(images: Set[str], masks: Set[str]) -> dict[str, str]:
    folded = {mask.casefold(): mask for mask in masks}
    those = {image.casefold(): image for image in images}
    return {those[key]: folded[key] for key in sorted(those.keys() & folded.keys())}


def _whole(longer: list[str], shorter: Set[str]) -> Iterator[Affix]:
    """What some names have more than others; a number more is another name."""
    for name in longer:
        for cut in range(1, len(name)):
            if name[:cut] in shorter and not name[cut:].isdigit():
                yield "", name[cut:]
            if name[cut:] in shorter and not name[:cut].isdigit():
                yield name[:cut], ""


def _both(images: Set[str], masks: list[str]) -> Iterator[tuple[Affix, Affix]]:
    affixes: dict[str, set[Affix]] = {}
    for image in images:
        for base, affix in _split(image):
            affixes.setdefault(base, set()).add(affix)
    for mask in masks:
        for base, affix in _split(mask):
            yield from ((other, affix) for other in affixes.get(base, ()) if other != affix)


def _split(name: str) -> Iterator[tuple[str, Affix]]:
    """The parts of a name before and behind its last and its first separator."""
    for cut in {max(map(name.rfind, _SEPARATORS)), min(map(name.find, _SEPARATORS))} - {-1, 0}:
        yield name[:cut], ("", name[cut:])
        yield name[cut + 1 :], (name[: cut + 1], "")


def _paired(images: Set[str], masks: Set[str], of_images: Affix, of_masks: Affix) -> dict[str, str]:
    bases = {base: mask for mask in masks if (base := _stripped(mask, of_masks))}
    found = {image: bases.get(_stripped(image, of_images) or "") for image in sorted(images)}
    return {image: mask for image, mask in found.items() if mask is not None}


def _stripped(name: str, affix: Affix) -> str | None:
    before, behind = affix
    if not (name.startswith(before) and name.endswith(behind)):
        return None
    return name[len(before) : len(name) - len(behind)]


def _sentence(of_images: Affix, of_masks: Affix) -> str:
    def words(affix: Affix) -> str:
        before, behind = affix
        return f"end in {behind!r}" if behind else f"start with {before!r}"

    if not any(of_images):
        return f"names of masks {words(of_masks)}, those of their images don't"
    if not any(of_masks):
        return f"names of images {words(of_images)}, those of their masks don't"
    return f"names of masks {words(of_masks)}, those of their images {words(of_images)}"
