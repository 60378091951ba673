"""A folder of images and masks."""

from __future__ import annotations

from typing import Literal

from lossweep.trainers.data.source_spec import FilesSpec


class FolderSource(FilesSpec):
    """``root/{train,val,test}/{images,masks}``, or ``root/{images,masks}`` divided by ``split``."""

    place = 2
    reader = "lossweep.trainers.data.sources.folder:Folder"

    source: Literal["folder"]
