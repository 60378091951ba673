"""Cityscapes: ``leftImg8bit`` and ``gtFine``, a folder a city in each split."""

from __future__ import annotations

from collections.abc import Iterator

from lossweep.trainers.data.layout_spec import Layout, SplitWords
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.tree import Tree

_NO_TEST = "no-test"
"""A word that no folder has: the labels of the test images are not published, their masks are void."""


class Cityscapes(Recogniser):
    """Recognised by its folders and the ends of its files' names."""

    place = 1

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield it with the masks of the 19 classes that are evaluated, where they were made, else of all."""
        for end, table in (("labelTrainIds", None), ("labelIds", "cityscapes_ids")):
            masks = [file for file in tree.pictures if file.endswith(f"_gtFine_{end}.png")]
            if masks and any(file.endswith("_leftImg8bit.png") for file in tree.pictures):
                base = masks[0].partition("gtFine/")[0]
                yield Candidate(
                    kind="Cityscapes",
                    source="folder",
                    layout=Layout(
                        images=f"{base}leftImg8bit/{{split}}/{{name}}_leftImg8bit.png",
                        masks=f"{base}gtFine/{{split}}/{{name}}_gtFine_{end}.png",
                        splits=SplitWords(test=_NO_TEST),
                    ),
                    certainty=9,
                    table=table or "cityscapes",
                    remarks=("Cityscapes keeps the labels of its test images: they are left out",),
                )
                return
