"""Where a sweep's images and masks come from, as plain data. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, Union

from pydantic import Field

from lossweep.spaces.discovery import defined_in
from lossweep.trainers.data import specs
from lossweep.trainers.data.layout_spec import FromTrain, Layout, SplitWords
from lossweep.trainers.data.source_spec import (
    SPLITS,
    Augmentation,
    Color,
    FilesSpec,
    Fractions,
    RootedSpec,
    SourceSpec,
    SplitName,
)
from lossweep.trainers.data.specs.folder import FolderSource
from lossweep.trainers.data.specs.imported import ImportSource
from lossweep.trainers.data.specs.raster import Blocks, RasterSource
from lossweep.trainers.data.specs.scenes import ScenesSource

__all__ = [
    "SOURCES",
    "SPLITS",
    "Augmentation",
    "Blocks",
    "Color",
    "DataSpec",
    "FilesSpec",
    "FolderSource",
    "Fractions",
    "FromTrain",
    "ImportSource",
    "Layout",
    "RasterSource",
    "RootedSpec",
    "ScenesSource",
    "SplitName",
    "SplitWords",
]

SOURCES: Final[tuple[type[SourceSpec], ...]] = defined_in(specs, SourceSpec)
"""The sources of data there are."""

if TYPE_CHECKING:
    DataSpec: TypeAlias = SourceSpec
else:
    DataSpec = Annotated[Union[SOURCES], Field(discriminator="source")]  # noqa: UP007 - of a tuple
