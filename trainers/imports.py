"""A user's own object by import path, ``package.module:name``, with errors in the user's words."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from lossweep.spaces.files.errors import Problem, UserError, nearest


def look_in_working_directory() -> None:
    """Let modules be imported from the working directory as well, after all other places."""
    if "" not in sys.path:
        sys.path.append("")


def load_object(path: str, key: str) -> Any:
    """Import what ``package.module:name`` names.

    The working directory is looked in as well, as ``python -m`` does, so that a user's own file beside the
    sweep file is found by a console script and by its workers.

    Args:
        path: the import path.
        key: the key it was given under, for the error.

    Raises:
        UserError: no such module or name, or the module raised while it was imported.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise UserError(
            Problem("is not an import path", key=key, found=repr(path), allowed="package.module:name")
        )
    look_in_working_directory()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f"there is no module {error.name!r} to import"
        raise UserError(
            Problem(missing, key=key, found=repr(path), hint="is its folder on PYTHONPATH?")
        ) from error
    except (Exception, SystemExit) as error:  # a script of the user's may end itself while it is imported
        raised = f"importing {module_name} raised {type(error).__name__}: {error}"
        raise UserError(Problem(raised, key=key, found=repr(path))) from error
    try:
        return getattr(module, name)
    except AttributeError:
        known = [each for each in vars(module) if not each.startswith("_")]
        nothing = f"{module_name} has no {name!r}"
        raise UserError(Problem(nothing, key=key, found=repr(path), hint=nearest(name, known))) from None
