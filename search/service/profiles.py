"""Clusters that a user has named, in ``~/.config/lossweep/config.toml``."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.spaces.losses.terms import Frozen


class Profile(Frozen):
    """One cluster.

    Attributes:
        cluster: address of its job service, such as ``https://head:8265``.
        home: folder of the sweeps there, seen by all its nodes; the cluster's ``$LOSSWEEP_HOME`` when None.
        python: the interpreter there that has lossweep, as a shell of the head finds it.
    """

    cluster: str
    home: str | None = None
    python: str = "python"


class Configuration(Frozen):
    """What the file says.

    Attributes:
        default: the profile of commands that name none; None for this machine.
        profiles: by name.
    """

    default: str | None = None
    profiles: dict[str, Profile] = Field(default_factory=dict)


def configuration_file() -> Path:
    """Return where the file lies: below ``$XDG_CONFIG_HOME``, else below ``~/.config``."""
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "lossweep" / "config.toml"


def find_profile(name: str | None) -> Profile | None:
    """Return a profile of the file, or its default one, or None when neither is asked for.

    Args:
        name: as given on the command line.

    Raises:
        UserError: when there is no such profile, or the file cannot be read.
    """
    file = configuration_file()
    configuration = _read(file, needed=name is not None)
    wanted = name or configuration.default
    if wanted is None:
        return None
    if wanted not in configuration.profiles:
        known = tuple(configuration.profiles)
        key = "--profile" if name else "default"
        allowed = ", ".join(known) or "there are no profiles yet"
        raise UserError(
            Problem(
                "no such profile",
                str(file),
                key=key,
                found=wanted,
                allowed=allowed,
                hint=nearest(wanted, known),
            )
        )
    return configuration.profiles[wanted]


def _read(file: Path, needed: bool) -> Configuration:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Configuration()
    except (OSError, ValueError) as error:
        # A service's user may run with the home of another, which it can't read and has no profiles in.
        if isinstance(error, PermissionError) and not needed:
            return Configuration()
        raise UserError(Problem(f"cannot be read: {error}", str(file))) from None
    try:
        return Configuration.model_validate(data)
    except ValidationError as error:
        raise UserError(
            Problem(each["msg"], str(file), key=".".join(map(str, each["loc"]))) for each in error.errors()
        ) from None
