"""GeoTIFF scenes whose labels are polygons: a file of them for each scene, or one for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from lossweep.trainers.data.layout_spec import Layout, SplitWords
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.fields import Fields, fields_of
from lossweep.trainers.data.recognising.layouts.folders import paired
from lossweep.trainers.data.recognising.tree import Group, Tree, grouped, split_words

_SCENES: Final = (".tif", ".tiff")
_LABELS: Final = (".gpkg", ".geojson", ".json")
_SAMPLED: Final = 8


class VectorLabels(Recogniser):
    """Recognised by GeoTIFFs beside files of polygons."""

    place = 4

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield the groups of scenes that pair with files of labels."""
        labels = {file: found for file in tree.ending(*_LABELS) if (found := fields_of(tree.root / file))}
        if not labels:
            return
        for scenes in grouped(tree.ending(*_SCENES))[:3]:
            for group in grouped(tuple(labels)):
                yield from _between(scenes, group, labels)


def _between(scenes: Group, group: Group, labels: dict[str, Fields]) -> Iterator[Candidate]:
    words = split_words(scenes, group)
    if words is None:
        return
    files = [file for found in group.files.values() for file in found]
    affixes = paired(scenes.names, group.names)
    if affixes is not None:
        suffixes = {PurePosixPath(file).suffix for file in files}
        suffix = suffixes.pop() if len(suffixes) == 1 else ".*"
        masks = group.pattern(*affixes[1], suffix)
        images = scenes.pattern(*affixes[0])
    elif len(files) == 1:
        images, masks = scenes.pattern("", ""), files[0]
    else:
        return
    fields = Fields.joined([labels[file] for file in files[:_SAMPLED]])
    name, values = fields.classes()
    keys: dict[str, Any] = {} if name is None else {"class_field": name}
    if fields.layers:
        keys["layer"] = fields.layers[0]
    others = [field for field in fields.values if field != name]
    remarks = list[str]()
    if name is None:
        remarks.append("every polygon is taken for one class: no attribute of them looks like a class's name")
    if others:
        remarks.append(f"other attributes of the polygons: {', '.join(others[:8])}; say `class_field: NAME`")
    if len(fields.layers) > 1:
        remarks.append(f"of the layers {', '.join(fields.layers)} the first is taken; say `layer: NAME`")
    yield Candidate(
        kind="GeoTIFF scenes with polygons as labels",
        source="raster",
        layout=Layout(images=images, masks=masks, splits=SplitWords.model_validate(words)),
        keys=keys,
        certainty=9 if affixes is not None else 8,
        classes=("background", *(values or ("foreground",))),
        remarks=tuple(remarks),
    )
