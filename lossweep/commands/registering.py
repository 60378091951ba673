"""What publish, confirm and train share: what is refused of a model, what is said once it is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lossweep.commands.arguments import CHAMPION

if TYPE_CHECKING:
    from lossweep.dashboards.mlflow.registry import Published
    from lossweep.search.workspace import Workspace
    from lossweep.spaces.files.errors import Problem


def check_registration(publish: bool, registered: str | None, alias: str, anyway: bool, name: str) -> None:
    """Check how a model is to be registered, before anything is trained for it.

    Args:
        publish: whether it is at all.
        registered: the name that was given for it.
        alias: that is to point to it.
        anyway: whether it is to be registered though no verdict stands behind it.
        name: without another.

    Raises:
        UserError: MLflow takes no such name or alias, or they are given for nothing.
    """
    from lossweep.spaces.files.errors import Problem, UserError

    if publish:
        from lossweep.dashboards.mlflow.registry import check_names

        check_names(registered or name, alias)
        return
    given = {"--as": registered is not None, "--alias": alias != CHAMPION, "--anyway": anyway}
    hint = "it is about what is registered: add --publish"
    if idle := [Problem("nothing is to be registered", key=key, hint=hint) for key in given if given[key]]:
        raise UserError(idle)


def refused(doubt: Problem, what: str) -> Problem:
    """Return one line: why nothing is registered, and what to type.

    Args:
        doubt: why no verdict stands behind it.
        what: was not done, such as ``nothing was registered``.
    """
    from dataclasses import replace

    way_out = "to register it as it stands: --anyway"
    hint = f"{doubt.hint}; {way_out}" if doubt.hint else way_out
    return replace(doubt, message=f"{what}: {doubt.message}", hint=hint)


def tell_registered(what: str, published: Published, doubt: Problem | None, workspace: Workspace) -> None:
    """Say what was registered, and how it is loaded.

    Args:
        what: such as ``trial 7``.
        published: as it stands in the registry.
        doubt: why no verdict stands behind it, if none does.
        workspace: that it was published from.
    """
    from lossweep.search.addresses import shown

    said = "registered" if published.anew else "is registered already:"
    typer.echo(
        f"{what} {said} {published.name} version {published.version}, which @{published.alias} points to now"
    )
    if doubt is not None:
        typer.echo(f"no verdict stands behind it, and its tags say so: {doubt.message}", err=True)
    typer.echo(f"MLFLOW_TRACKING_URI={shown(workspace.mlflow_uri)}")
    typer.echo(f'model = mlflow.pyfunc.load_model("{published.uri}"); masks = model.predict(images)')
