"""A way in which the files of a folder may be images and their masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lossweep.trainers.data.layout_spec import Layout
from lossweep.trainers.data.recognising.tree import Tree
from lossweep.trainers.data.spec import SplitName


@dataclass(frozen=True)
class Candidate:
    """A layout, and how sure it is.

    Attributes:
        kind: what it is called, for a person.
        source: what reads it.
        layout: where images and masks lie; None where the source has its own keys for it.
        keys: further keys of ``data:``.
        certainty: higher is surer; only the surest are looked at.
        splits: with images of their own, for a source without layout.
        names: of the images that train, or of all, for a source without layout.
        shown_in: by class, the positions of those images that show it.
        classes: where the files name them; None where the masks have to be looked at.
        table: the published colors that masks of this layout are coded by, a name in ``known_colors.yaml``.
        remarks: what a person should know.
    """

    kind: str
    source: Literal["folder", "raster", "coco"]
    layout: Layout | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    certainty: int = 0
    splits: frozenset[SplitName] = frozenset()
    names: tuple[str, ...] = ()
    shown_in: Mapping[str, frozenset[int]] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    table: str | None = None
    remarks: tuple[str, ...] = ()


class Recogniser:
    """Recognises one kind of layout; one is a class with a ``place`` in a file of `recognising.layouts`.

    Attributes:
        place: when it is asked: the first that finds something is believed.
    """

    place: ClassVar[int]

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield what the files may be."""
        raise NotImplementedError
