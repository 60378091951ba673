"""PASCAL VOC: ``JPEGImages``, ``SegmentationClass``, and lists of the splits in ``ImageSets``."""

from __future__ import annotations

from collections.abc import Iterator

from lossweep.trainers.data.layout_spec import Layout
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.tree import Tree


class Voc(Recogniser):
    """Recognised by its two folders; without lists the images are divided."""

    place = 2

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield it where it lies, in the folder or below (``VOCdevkit/VOC2012``)."""
        bases = sorted(
            {
                file.partition("SegmentationClass/")[0]
                for file in tree.pictures
                if "SegmentationClass/" in file
            }
        )
        for base in bases:
            if not any(file.startswith(f"{base}JPEGImages/") for file in tree.pictures):
                continue
            lists = f"{base}ImageSets/Segmentation/{{split}}.txt"
            listed = all(lists.replace("{split}", split) in tree.files for split in ("train", "val"))
            yield Candidate(
                kind="PASCAL VOC",
                source="folder",
                layout=Layout(
                    images=f"{base}JPEGImages/{{name}}.*",
                    masks=f"{base}SegmentationClass/{{name}}.*",
                    lists=lists if listed else None,
                    unlabelled="refuse" if listed else "out",
                ),
                certainty=9,
                table="voc",
            )
