"""What a user names by import path."""

from __future__ import annotations

import importlib
from typing import Any

from spaces.errors import Problem, UserError


def imported(path: str, key: str) -> Any:
    """Return what ``package.module:Name`` names.

    Args:
        path: the import path.
        key: the key of the sweep file it stands under, for the error.

    Raises:
        UserError: when the module cannot be imported or lacks the name.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            Problem("cannot be imported", key=key, found=path, hint=f"{type(error).__name__}: {error}")
        ) from error
