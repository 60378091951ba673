"""A user's own function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from lossweep.trainers.data.source_spec import SourceSpec, absolute


class ImportSource(SourceSpec):
    """``package.module:function`` that returns the torch Datasets, for everything else.

    Attributes:
        function: called with ``parameters``; returns a dict of train, val and (optionally) test, or a tuple
            of them in that order. Items are (image, mask) arrays or tensors, images (bands, height, width) or
            (height, width).
        parameters: its keyword arguments.
        path: a folder put in front of ``sys.path`` for the import, relative to the sweep file.
        version: change it when the data changes but neither the function nor its parameters do.
    """

    place = 4
    reader = "lossweep.trainers.data.sources.imported:Imported"

    source: Literal["import"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    parameters: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None
    version: str = ""

    def resolve(self, base: Path) -> Self:
        """Return this source with ``path`` made absolute; a relative one starts at ``base``."""
        return self if self.path is None else self.model_copy(update={"path": absolute(base, self.path)})
