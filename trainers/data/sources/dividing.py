"""Divides images into splits by fractions, the same way every time; reads names only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from lossweep.trainers.data.sources.laid_out import Pair
from lossweep.trainers.data.sources.source import Problems
from lossweep.trainers.data.spec import SPLITS, Fractions, FromTrain, RootedSpec, SplitName


def divide(units: Iterable[str], fractions: Fractions | FromTrain) -> dict[str, SplitName]:
    """Divide units by the fractions, in an order that follows from the seed and each unit's name alone.

    Adding a unit moves few others. With at least as many units as splits, no split asked for stays empty.
    """
    ordered = sorted(
        set(units),
        key=lambda unit: sha256(f"{fractions.seed}/{unit}".encode(errors="surrogatepass")).digest(),
    )
    wanted = _wanted(fractions)
    sizes = {split: max(1, round(getattr(fractions, split) * len(ordered))) for split in wanted[1:]}
    split_of: dict[str, SplitName] = {}
    for split, size in sizes.items():
        taken, ordered = ordered[:size], ordered[size:]
        split_of |= dict.fromkeys(taken, split)
    return split_of | dict.fromkeys(ordered, "train")


def divided(
    root: Path, pairs: Sequence[Pair], fractions: Fractions | FromTrain, problems: Problems
) -> Mapping[SplitName, Sequence[Pair]]:
    """Divide pairs by the fractions; those of one group stay together."""
    groups = [_group(image, fractions.group, problems) for image, _ in pairs]
    splits = _wanted(fractions)
    wanted = len(splits)
    if pairs and len(set(groups)) < wanted:
        what = "groups" if fractions.group else "images"
        problems.add(f"{len(set(groups))} {what} can't be divided into {wanted} splits", root)
    split_of = divide(groups, fractions)
    chosen: dict[SplitName, list[Pair]] = {split: [] for split in splits}
    for pair, group in zip(pairs, groups, strict=True):
        chosen[split_of[group]].append(pair)
    return chosen


def with_splits_from_train(
    spec: RootedSpec, chosen: Mapping[SplitName, Sequence[Pair]], problems: Problems
) -> Mapping[SplitName, Sequence[Pair]]:
    """Give the splits that have no files of their own their share of the training images."""
    shares = spec.from_train
    train = chosen.get("train", ())
    if shares is None or not train:
        return chosen
    for split in ("val", "test"):
        if getattr(shares, split) is not None and chosen.get(split):
            problems.add(
                f"{split} has images of its own, but from_train gives it a share of train's", Path(spec.root)
            )
    return {**chosen, **divided(Path(spec.root), train, shares, problems)}


def _wanted(fractions: Fractions | FromTrain) -> list[SplitName]:
    """The splits that get something, train first."""
    return ["train", *(split for split in SPLITS[1:] if getattr(fractions, split))]


def _group(image: Path, pattern: str | None, problems: Problems) -> str:
    if pattern is None:
        return image.stem
    match = re.search(pattern, image.stem)
    if match is None:
        problems.add("file name doesn't match the group's regular expression", image, allowed=pattern)
        return image.stem
    return match[1] if match.re.groups and match[1] is not None else match[0]
