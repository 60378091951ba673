"""``lossweep export``: the winner as a file to train with."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import Output, SweepName, WorkspaceFolder, write_output


def export(
    name: SweepName,
    output: Output = None,
    trial: Annotated[
        int | None, typer.Option("--trial", help="Another trial than the winner.", show_default=False)
    ] = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Write the best loss schedule of a sweep, with its threshold and where it comes from, as YAML.

    Without --output it is printed.
    """
    from lossweep.commands.reading import existing, history_of
    from lossweep.search.upkeep.export import export_best

    content = export_best(history_of(name, existing(workspace)), trial).to_yaml()
    if output is None:
        typer.echo(content, nl=False)
    else:
        write_output(output, content)
        typer.echo(f"wrote {output}; train with it: lossweep train {output}")
