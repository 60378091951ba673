"""COCO: JSON files with the outlines of objects, and the images that they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.recognising.candidate import Candidate, Recogniser
from lossweep.trainers.data.recognising.tree import Tree, split_in, split_of
from lossweep.trainers.data.sources.coco import read_annotations
from lossweep.trainers.data.spec import SPLITS, SplitName


class CocoOutlines(Recogniser):
    """Recognised by what the JSON holds: images, annotations with outlines, categories."""

    place = 3

    def candidates(self, tree: Tree) -> Iterator[Candidate]:
        """Yield each family of annotation files that differ by a split's word only."""
        families: dict[str, dict[SplitName | None, tuple[str, str, dict[str, Any]]]] = {}
        for file in tree.ending(".json"):
            data = _outlined(tree, file)
            if data is None:
                continue
            match = split_in(PurePosixPath(file).name) or split_in(file)
            if match is None:
                families.setdefault(file, {})[None] = ("", file, data)
                continue
            at = file.rindex(match[0])
            family = f"{file[:at]}{{split}}{file[at + len(match[0]) :]}"
            families.setdefault(family, {})[split_of(match[0])] = (match[0], file, data)
        for family, found in families.items():
            if None in found or "train" in found:
                with suppress(KeyError, TypeError, AttributeError):  # JSON of another make
                    yield from _candidate(tree, family, found)


def _outlined(tree: Tree, file: str) -> dict[str, Any] | None:
    """The annotations of a file; None when it holds none with outlines."""
    try:
        data = read_annotations(tree.root / file)
    except UserError:
        return None
    some = islice((each for each in data["annotations"] if isinstance(each, dict)), 100)
    return data if any(each.get("segmentation") for each in some) else None


def _candidate(
    tree: Tree, family: str, found: dict[SplitName | None, tuple[str, str, dict[str, Any]]]
) -> Iterator[Candidate]:
    folders = set[str]()
    for word, file, data in found.values():
        if not data["images"]:
            return
        first = str(data["images"][0]["file_name"])
        beside = PurePosixPath(file).parent.as_posix()
        ends = [path for path in tree.files if path == first or path.endswith(f"/{first}")]
        ends.sort(key=lambda path: (word not in path, not path.startswith(f"{beside}/"), len(path)))
        if not ends:
            return
        folder = ends[0].removesuffix(first).rstrip("/")
        folders.add(folder.replace(word, "{split}") if word else folder)
    if len(folders) > 1:
        return
    training = found[None if None in found else "train"][2]
    positions = {image["id"]: at for at, image in enumerate(training["images"])}
    shown_in: dict[str, set[int]] = {}
    for category in training["categories"]:  # in their order
        shown_in[str(category["name"])] = {
            positions[each["image_id"]]
            for each in training["annotations"]
            if each["category_id"] == category["id"] and each["image_id"] in positions
        }
    shown = [name for name, images in shown_in.items() if images]
    keys: dict[str, Any] = {"annotations": family, "images": folders.pop() or "."}
    if None not in found:
        words = {split: found[split][0] for split in SPLITS if split in found}
        keys["splits"] = {split: words.get(split, split) for split in SPLITS}
    yield Candidate(
        kind="COCO's outlines",
        source="coco",
        keys=keys,
        certainty=9 if "instances" in family or len(found) > 1 else 8,
        splits=frozenset(split for split in found if split is not None),
        names=tuple(str(image["file_name"]) for image in training["images"]),
        shown_in={name: frozenset(shown_in[name]) for name in shown},
        classes=("background", *shown),
        remarks=("outlines in JSON: what no outline covers is background",),
    )
