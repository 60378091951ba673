"""``lossweep schema``: JSON Schemas, so that an editor completes and checks the files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Document(StrEnum):
    """The files a user writes or keeps."""

    SWEEP = "sweep"
    SCHEDULE = "schedule"


def schema(
    document: Annotated[Document, typer.Argument(help="Which file's schema.")] = Document.SWEEP,
) -> None:
    """Print the JSON Schema of sweep files or of schedule files."""
    import json

    if document is Document.SWEEP:
        from lossweep.search.sweep_spec import SweepSpec

        content = SweepSpec.model_json_schema()
    else:
        from lossweep.spaces.schedules.schedule_file import ScheduleFile

        content = ScheduleFile.model_json_schema()
    typer.echo(json.dumps(content, indent=2))
