"""Which cluster a command is for: as the flag says, else a profile, else the variables of Ray's own tools."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lossweep.search.addresses import is_web, without_user
from lossweep.search.service.profiles import find_profile
from lossweep.spaces.files.errors import Problem, UserError

HERE: Final = "local"
"""As an address: this machine, whatever profiles and variables say."""

VARIABLES: Final = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where Ray's own job tools look for an address, in their order."""

_LOOPBACK: Final = re.compile(r"localhost|127(\.\d+){3}|::1")


@dataclass(frozen=True, slots=True)
class Service:
    """A cluster's job service.

    Attributes:
        url: of it, without a slash at the end.
        home: folder of the sweeps on the cluster, where the client says so.
        python: the interpreter there.
        words: what a further command needs to find this service again, such as ``--cluster URL``.
        headers: of every request; they hold the token.
    """

    url: str
    home: str | None = None
    python: str = "python"
    words: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_exposed(self) -> bool:
        """Whether what is sent, the token included, can be read on the way."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or "")

    def __str__(self) -> str:
        return without_user(self.url)


def find_service(cluster: str | None, profile: str | None, home: str | None = None) -> Service | None:
    """Return the job service that a command is for, or None when it is for this machine.

    Args:
        cluster: as given on the command line: a job service, ``local``, or a cluster that a driver here
            connects to (``auto``, ``host:6379``), which is none.
        profile: as given on the command line.
        home: as given on the command line: on the cluster's side.

    Raises:
        UserError: for an address that is none, a profile that there is not, or a token that can't be read.
    """
    if cluster is not None and profile is not None:
        raise UserError(Problem("give one of --cluster and --profile"))
    if cluster is not None:
        if not is_web(cluster) and not cluster.startswith("ray://"):
            return None
        return _service(cluster, "--cluster", home, words=f" --cluster {without_user(cluster)}")
    if (chosen := find_profile(profile)) is not None:
        words = f" --profile {profile}" if profile else ""
        return _service(chosen.cluster, "cluster", home or chosen.home, chosen.python, words)
    for name in VARIABLES:
        if is_web(given := os.environ.get(name, "")):
            return _service(given, name, home)
    return None


def _service(url: str, key: str, home: str | None, python: str = "python", words: str = "") -> Service:
    try:
        parts = urlsplit(url)
        sound = (
            is_web(url) and parts.hostname and (parts.port or True) and not (parts.query or parts.fragment)
        )
    except ValueError:
        sound = None
    if not sound:
        raise UserError(
            Problem(
                "not the address of a job service",
                key=key,
                found=without_user(url),
                allowed="http://HOST:8265 or https://HOST",
            )
        )
    return Service(url.rstrip("/"), home, python, words, _token_header(os.environ))


def _token_header(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that holds the token, found where Ray finds it; none where Ray's authentication is off.

    Ray 2.60 sends a token only if ``RAY_AUTH_MODE`` says so, and 2.61 always: one that there is, is sent.
    """
    if environment.get("RAY_AUTH_MODE", "token").lower() == "disabled":
        return {}
    token = environment.get("RAY_AUTH_TOKEN", "")
    if not token:
        named = environment.get("RAY_AUTH_TOKEN_PATH")
        file = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
        try:
            token = file.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            if named:
                why = getattr(error, "strerror", None) or "not a text"
                raise UserError(
                    Problem(f"the token cannot be read: {why}", key="RAY_AUTH_TOKEN_PATH", found=str(file))
                ) from None
            return {}
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise UserError(Problem("the token holds letters that no token holds", key="RAY_AUTH_TOKEN"))
    return {"Authorization": f"Bearer {token}"} if token else {}
