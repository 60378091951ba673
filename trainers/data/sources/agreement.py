"""Whether the masks of a data set agree on what their values mean; none of them shows it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from lossweep.spaces.files.errors import Problem
from lossweep.trainers.data.source_spec import SourceSpec, SplitName
from lossweep.trainers.data.sources import mask_hints
from lossweep.trainers.data.sources.source import MaskFile

_MOST_NAMED = 3
_Palette = frozenset[tuple[int, tuple[int, ...]]]
"""The (index, color) pairs that occur in a mask."""


@dataclass(slots=True)
class _Pixels:
    """A mask file's pixels, over all of its windows."""

    labelled: int = 0
    foreground: int = 0
    ignored: int = 0


class MaskAgreement:
    """Collects what mask files say, and tells where they contradict each other."""

    def __init__(self, spec: SourceSpec) -> None:
        self._spec = spec
        self._pixels: dict[tuple[SplitName, str], _Pixels] = {}
        self._palettes: dict[_Palette, list[str]] = {}

    def add(self, split: SplitName, file: MaskFile) -> None:
        """Add a mask file, or one window of it."""
        pixels = self._pixels.setdefault((split, file.name), _Pixels())
        pixels.labelled += file.labelled
        pixels.foreground += file.foreground
        pixels.ignored += file.ignored
        if file.palette:
            names = self._palettes.setdefault(frozenset(file.palette.items()), [])
            if file.name not in names[-1:]:
                names.append(file.name)

    def problems(self) -> tuple[Problem, ...]:
        """Palettes that contradict each other: an index would be one class here and another there."""
        by_count = sorted(self._palettes, key=lambda palette: -len(self._palettes[palette]))
        for common, rare in combinations(by_count, 2):
            if (difference := _difference(common, rare)) is None:
                continue
            here, there = difference
            colors = {color: 1 for palette in by_count for _, color in palette}
            return (
                Problem(
                    "palettes of the masks differ, so that an index means one class here and another there",
                    file=self._palettes[rare][0],
                    found=f"{there}{_more(self._palettes[rare])}",
                    allowed=f"{here} as in {_first(self._palettes[common])}",
                    hint=mask_hints.for_colors(self._spec, colors),
                ),
            )
        return ()

    def suspicions(self) -> Iterator[str]:
        """Masks that agree with each other, but perhaps not with the classes."""
        bright = [
            name
            for palette, names in self._palettes.items()
            if dict(palette).get(0, (0, 0, 0)) != (0, 0, 0)
            for name in names
        ]
        if bright:
            colors = sorted({dict(palette)[0] for palette in self._palettes if 0 in dict(palette)})
            shown = ", ".join(str(list(color)) for color in colors if any(color))
            yield (
                f"{_named(bright)}: index 0 is {shown} in the palette, not black: is it"
                f" {self._spec.classes[0]}?"
            )
        for split in dict.fromkeys(split for split, _ in self._pixels):
            found = [
                name
                for (where, name), pixels in self._pixels.items()
                if where == split and pixels.labelled and pixels.ignored and not pixels.foreground
            ]
            if found:
                yield (
                    f"{split}: {len(found)} {'masks hold' if len(found) > 1 else 'mask holds'}"
                    f" {self._spec.classes[0]} and the ignored value, and nothing else: {_named(found)};"
                    f" {self._ignored()}"
                )

    def _ignored(self) -> str:
        """What to do when the ignored value is a class in some masks."""
        if any(pixels.foreground for pixels in self._pixels.values()):
            return "if that value is a class in them, give it the index that other masks have"
        return mask_hints.for_ignored(self._spec, self._spec.classes[1])


def _difference(one: _Palette, other: _Palette) -> tuple[str, str] | None:
    """What two palettes say of the same index, or of the same color, when it is not the same."""
    here, there = dict(one), dict(other)
    for index in sorted(here.keys() & there.keys()):
        if here[index] != there[index]:
            return f"index {index} is {list(here[index])}", f"index {index} is {list(there[index])}"
    for color in sorted({*here.values()} & {*there.values()}):
        indices = [sorted(i for i, c in palette.items() if c == color) for palette in (here, there)]
        if not {*indices[0]} & {*indices[1]}:
            return f"{list(color)} is index {indices[0][0]}", f"{list(color)} is index {indices[1][0]}"
    return None


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + _more(names, _MOST_NAMED)


def _first(names: Sequence[str]) -> str:
    return names[0] + _more(names)


def _more(names: Sequence[str], shown: int = 1) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""
