"""Which images validate and which test, where no folder says so: every class should show in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

from lossweep.trainers.data.sources.dividing import divide
from lossweep.trainers.data.spec import SPLITS, Fractions, FromTrain, SplitName

_SERIES: Final = r"^(.+?)(?:[_\-. ][A-Za-z]?\d+)+$"
"""What stands before the numbers that a name ends in: a flight, a video, a scene that was cut into tiles."""
_LEAST_SERIES: Final = 8
_SEEDS: Final = 32
_SHARE: Final = 0.15


def proposed(
    images: Sequence[Path], said: Set[SplitName], shown_in: Mapping[Any, Set[int]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Propose how images are divided.

    Args:
        images: those to divide: all, or those that train where files say the others.
        said: splits that the files say; empty where they say none.
        shown_in: by value of the masks or class, the positions of the images that show it.

    Returns:
        Keys of ``data:``, and remarks; both empty where there is nothing to divide.
    """
    wanted: list[SplitName] = [split for split in ("val", "test") if split not in said]
    if not wanted:
        return {}, ()
    if len(images) <= len(wanted):  # the check will say it in its words
        wanted = ["val"] if not said else wanted
    group = _series(images)
    units = [_unit(image, group) for image in images]
    best: tuple[tuple[int, int], dict[str, Any]] | None = None
    for seed in range(_SEEDS):
        keys = _keys(wanted, said, seed, group)
        shown = _shown(units, keys, shown_in)
        if best is None or shown > best[0]:
            best = shown, keys
        if shown[1] == len(shown_in) * (len(wanted) + 1):
            break
    assert best is not None
    return best[1], tuple(_remarks(wanted, said, group, len(set(units)), len(images)))


def _keys(wanted: Sequence[SplitName], said: Set[SplitName], seed: int, group: str | None) -> dict[str, Any]:
    more: dict[str, Any] = {"seed": seed} | ({"group": group} if group else {})
    if said:
        return {"from_train": dict.fromkeys(wanted, _SHARE) | more}
    shares = {split: _SHARE if split in wanted else 0.0 for split in SPLITS[1:]}
    return {"split": {"train": round(1.0 - sum(shares.values()), 6), **shares, **more}}


def _shown(
    units: Sequence[str], keys: Mapping[str, Any], shown_in: Mapping[Any, Set[int]]
) -> tuple[int, int]:
    """How many classes train shows, and how many pairs of a split and a class that it shows there are."""
    fractions = Fractions(**keys["split"]) if "split" in keys else FromTrain(**keys["from_train"])
    split_of = divide(units, fractions)
    splits = [{split_of[units[at]] for at in positions} for positions in shown_in.values()]
    return sum("train" in each for each in splits), sum(map(len, splits))


def _unit(image: Path, group: str | None) -> str:
    match = re.search(group, image.stem) if group else None
    return match[1] if match else image.stem


def _series(images: Sequence[Path]) -> str | None:
    """The regular expression of a name's series; None where names show none, or too few to be divided."""
    matches = [re.search(_SERIES, image.stem) for image in images]
    if not all(matches):
        return None
    series = {match[1] for match in matches if match}
    return _SERIES if _LEAST_SERIES <= len(series) <= len(images) / 2 else None


def _remarks(
    wanted: Sequence[SplitName], said: Set[SplitName], group: str | None, units: int, images: int
) -> Iterator[str]:
    names = " and ".join(wanted)
    if said:
        yield f"no folder says which images are {names}: {_SHARE:.0%} of train each, always the same ones"
    else:
        yield f"no folder says the splits: {_SHARE:.0%} of the images for {names} each, always the same ones"
    if group:
        yield (
            f"the names show {units} series among {images} images: each series stays in one split, since "
            "neighbours look alike"
        )
