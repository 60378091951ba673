"""Where images and masks lie when not in folders ``images`` and ``masks``, as plain data. No torch here."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from lossweep.spaces.losses.terms import Frozen

SplitWord = Annotated[str, Field(min_length=1, pattern=r"^[^/{}]+$")]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]

_FIELDS: Final = re.compile(r"\{([^{}]*)\}")


class SplitWords(Frozen):
    """What stands for each split in the paths of files.

    Attributes:
        train: what ``{split}`` is in paths of the images that train.
        val: of those that validate.
        test: of those that test.
    """

    train: SplitWord = "train"
    val: SplitWord = "val"
    test: SplitWord = "test"

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({self.train, self.val, self.test}) < 3:
            raise ValueError(f"splits must differ, but got {self.train}, {self.val} and {self.test}")
        return self


class FromTrain(Frozen):
    """Splits that have no files of their own: the shares of the training images that they take.

    Attributes:
        val: the share that validates instead; None where the files say which do.
        test: the share that tests instead.
        seed: of the shuffle.
        group: as that of ``split``.
    """

    val: Share | None = None
    test: Share | None = None
    seed: int = Field(default=0, ge=0)
    group: str | None = None

    @field_validator("group")
    @classmethod
    def _compiles(cls, group: str | None) -> str | None:
        return compiling(group)

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.val is None and self.test is None:
            raise ValueError("from_train needs val, test or both")
        if (self.val or 0.0) + (self.test or 0.0) >= 1.0:
            raise ValueError("from_train must leave images to train, but val + test are 1 or more")
        return self


class Layout(Frozen):
    """Which files are images and which are their masks: paths from ``root``, with fields in braces.

    ``{name}`` is what an image and its mask have in common, folders included; ``{split}`` the word of a split
    in ``splits``; ``.*`` at the end any suffix that is read.

    Attributes:
        images: such as ``{split}/img/{name}.*``.
        masks: such as ``{split}/gt/{name}_mask.*``. Without ``{name}`` one file labels every image, as vector
            labels can.
        lists: text files that name each split's images, one a line, such as ``ImageSets/{split}.txt``.
        splits: words for the splits.
        unlabelled: what to do with images that have no mask: ``refuse`` them or leave them ``out``.
    """

    images: Annotated[str, Field(min_length=1)]
    masks: Annotated[str, Field(min_length=1)]
    lists: str | None = None
    splits: SplitWords = SplitWords()
    unlabelled: Literal["refuse", "out"] = "refuse"

    @field_validator("images", "masks", "lists")
    @classmethod
    def _known_fields(cls, path: str | None) -> str | None:
        for field in _FIELDS.findall(path or ""):
            if field not in ("name", "split"):
                raise ValueError(f"only {{name}} and {{split}} stand in braces, but got {{{field}}}")
        if path is not None and (path.startswith("/") or ".." in path.split("/")):
            raise ValueError(f"paths start at root and stay in it, but got {path!r}")
        return path

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.images.count("{name}") != 1 or self.masks.count("{name}") > 1:
            raise ValueError("images must hold {name} once, and masks at most once")
        if self.images == self.masks:
            raise ValueError("images and masks must differ, or a file would be its own mask")
        if self.lists is not None and "{split}" not in self.lists:
            raise ValueError(f"lists must hold {{split}}, but got {self.lists!r}")
        if self.lists is not None and "{split}" in self.images + self.masks:
            raise ValueError("with lists, images and masks hold no {split}: the lists say it")
        if "{split}" in self.masks and "{split}" not in self.images:
            raise ValueError("masks hold {split}, but images don't")
        return self

    @property
    def says_splits(self) -> bool:
        """Whether the files say which split an image belongs to."""
        return self.lists is not None or "{split}" in self.images


def compiling(pattern: str | None) -> str | None:
    """Return a regular expression; for validators.

    Raises:
        ValueError: it is none.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"group must be a regular expression, but got {pattern!r}: {error}") from None
    return pattern
