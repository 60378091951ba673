"""A folder that nobody described, recognised: the ``data:`` of a sweep file, and what was assumed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.layout_spec import Layout
from lossweep.trainers.data.recognising import choosing, dividing
from lossweep.trainers.data.recognising.by_value import Coding
from lossweep.trainers.data.recognising.candidate import Candidate
from lossweep.trainers.data.recognising.class_lists import table_beside
from lossweep.trainers.data.recognising.coding import coding_of
from lossweep.trainers.data.recognising.known import ColorTable, Value, tables
from lossweep.trainers.data.recognising.scenes import as_scenes
from lossweep.trainers.data.recognising.tree import Tree
from lossweep.trainers.data.recognising.values import look
from lossweep.trainers.data.sources.laid_out import Pair
from lossweep.trainers.data.sources.source import Progress, silent
from lossweep.trainers.data.spec import SPLITS, SplitName

_USUAL: Final = (
    Layout(images="{split}/images/{name}.*", masks="{split}/masks/{name}.*"),
    Layout(images="images/{name}.*", masks="masks/{name}.*"),
)
"""What the folder source reads without being told."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says of a folder beforehand.

    Attributes:
        images: a layout's path of the images.
        masks: a layout's path of the masks.
        classes: their names, background first.
        ignored: values or colors that mean nothing; None to guess.
    """

    images: str | None = None
    masks: str | None = None
    classes: tuple[str, ...] = ()
    ignored: tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a folder holds.

    Attributes:
        kind: of layout, for a person.
        data: ``data:`` of a sweep file but for its root, and for how images are cut.
        images: how many, of each split that files say, or under None.
        shares: of the pixels, by class; empty where no mask was looked at.
        remarks: what was assumed, with what to type or write where it is wrong.
    """

    kind: str
    data: Mapping[str, Any]
    images: Mapping[SplitName | None, int]
    shares: Mapping[str, float]
    remarks: tuple[str, ...]


def recognise(root: Path, asked: Asked = Asked(), progress: Progress = silent) -> Recognised:
    """Find out what a folder holds.

    Args:
        root: the folder.
        asked: what a person said of it.
        progress: told of each mask that is looked at.

    Raises:
        UserError: nothing is recognised, or more than one thing is, or the masks can't be masks; each with
            what to type.
    """
    if not root.is_dir():
        why = "data folder is a file" if root.exists() else "data folder is missing"
        raise UserError(Problem(why, file=str(root)))
    tree = Tree.of(root)
    chosen = choosing.chosen(tree, asked.images, asked.masks)
    if chosen.layout is None:
        return _of_annotations(tree, chosen, asked)
    chosen, pairs, notes = choosing.paired(tree, chosen)
    if None not in pairs and "train" not in pairs:
        said = ", ".join(split for split in pairs if split)
        raise UserError(Problem("no folder of images to train on", file=str(root), found=said))
    return _described(tree, as_scenes(chosen, pairs), pairs, asked, progress, notes)


def _described(
    tree: Tree,
    chosen: Candidate,
    pairs: choosing.Pairs,
    asked: Asked,
    progress: Progress,
    notes: Sequence[str],
) -> Recognised:
    layout = chosen.layout
    assert layout is not None
    every = [pair for split in (None, *SPLITS) for pair in pairs.get(split, ())]
    table = tables()[chosen.table] if chosen.table else table_beside(tree)
    coding, shares, shown = _coded(chosen, every, asked, table, progress)
    said = frozenset(split for split in pairs if split is not None and pairs[split])
    first = len(pairs["train"] if said else pairs[None])
    shown_there = {value: {at for at in positions if at < first} for value, positions in shown.items()}
    keys, divided = dividing.proposed([image for image, _ in every[:first]], said, shown_there)
    data: dict[str, Any] = {"source": chosen.source}
    if layout not in _USUAL:
        data["layout"] = _written(layout)
    data |= {"classes": list(coding.classes)}
    if coding.colors is not None:
        data["colors"] = dict(coding.colors)
    data |= keys | dict(chosen.keys)
    counts = {split: len(found) for split, found in pairs.items()}
    remarks = (*chosen.remarks, *notes, *coding.remarks, *divided)
    return Recognised(chosen.kind, data, counts, shares, remarks)


def _coded(
    chosen: Candidate,
    pairs: Sequence[Pair],
    asked: Asked,
    table: ColorTable | None,
    progress: Progress,
) -> tuple[Coding, dict[str, float], dict[Value, set[int]]]:
    """Classes and colors, each class's share of the pixels, and which masks show which value."""
    if chosen.classes is not None:
        return Coding(asked.classes or chosen.classes, None, ()), {}, {}
    found = look([mask for _, mask in pairs], progress)
    coding = coding_of(found, asked.classes, asked.ignored, table)
    shares = {
        name: sum(map(found.share, values))
        for name, values in zip(coding.classes, coding.values, strict=True)
    }
    if found.looked_at < found.of:
        remark = f"{found.looked_at} of {found.of} masks were looked at; `lossweep check` decodes all"
        coding = replace(coding, remarks=(*coding.remarks, remark))
    return coding, shares, found.shown_in


def _of_annotations(tree: Tree, chosen: Candidate, asked: Asked) -> Recognised:
    """COCO: classes are named in the file, and the images with it."""
    said = chosen.splits
    keys, divided = dividing.proposed([Path(name) for name in chosen.names], said, chosen.shown_in)
    classes = list(asked.classes or chosen.classes or ())
    data = {"source": chosen.source, **chosen.keys, "classes": classes, **keys}
    return Recognised(chosen.kind, data, {}, {}, (*chosen.remarks, *divided))


def _written(layout: Layout) -> dict[str, Any]:
    """A layout as a sweep file holds it."""
    written = layout.model_dump(exclude_defaults=True)
    if "splits" in written:
        written["splits"] = layout.splits.model_dump()
    return written
