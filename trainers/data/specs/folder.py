"""A folder of images and masks."""

from __future__ import annotations

from typing import Literal

from lossweep.trainers.data.source_spec import FilesSpec


class FolderSource(FilesSpec):
    """``root/{train,val,test}/{images,masks}``, or ``root/{images,masks}`` divided by ``split``.

    Attributes:
        exif: what to do about files that are shown turned or mirrored from how they are stored: ``apply``
            their orientation, or ``ignore`` it; None: ignore it, and call an image suspicious that is shown
            otherwise than its mask.
    """

    place = 2
    reader = "lossweep.trainers.data.sources.folder:Folder"

    source: Literal["folder"]
    exif: Literal["apply", "ignore"] | None = None
