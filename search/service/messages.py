"""What a client asks a job to do, and how a job answers through its log.

Imports little: a job's start waits for it.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Final

_FRAME: Final = "<lossweep-answer {}>"
_ANSWER: Final = re.compile(_FRAME.format("([A-Za-z0-9+/=]+)"))

CLIENT_WORDS: Final = "LOSSWEEP_CLIENT_WORDS"
"""Variable of a command that a client has run here: what its next ones need, such as ``--cluster URL``."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command for the cluster.

    Attributes:
        arguments: of ``lossweep``.
        lossweep: the client's version.
        python: the client's, its first two numbers.
        home: the folder of the sweeps there, where the client says so.
        environment: further variables of the command: the client's terminal.
        retries: how often a driver that was lost is started again.
        again: further arguments then.
    """

    arguments: tuple[str, ...]
    lossweep: str = field(default_factory=lambda: version("lossweep"))
    python: str = field(default_factory=lambda: this_python())
    home: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    retries: int = 0
    again: tuple[str, ...] = ()

    def encoded(self) -> str:
        """Return it as one argument of a command line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def decoded(cls, text: str) -> Request:
        """Read it, of whichever version it is; what another version has added is not known here."""
        data = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        lists = {name: tuple(data.get(name, ())) for name in ("arguments", "again")}
        return cls(**{**data, **lists})

    def unlike(self) -> str:
        """Return in one line how this process differs from the client; empty if it does not."""
        ours = {"lossweep": version("lossweep"), "Python": this_python()}
        theirs = {"lossweep": self.lossweep, "Python": self.python}
        unlike = [name for name in ours if ours[name] != theirs[name]]
        told = (f"the cluster has {name} {ours[name]}, this client {theirs[name]}" for name in unlike)
        return f"{'; '.join(told)}: use the same" if unlike else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended.

    Attributes:
        code: its exit code.
        out: its standard output.
        err: its standard error.
        files: what it wrote in its working directory.
    """

    code: int
    out: bytes = b""
    err: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)

    def encoded(self) -> str:
        """Return it as one line that can be told from whatever else a log holds."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("code", str(self.code))
            archive.writestr("out", self.out)
            archive.writestr("err", self.err)
            for name, content in self.files.items():
                archive.writestr(f"files/{name}", content)
        return _FRAME.format(base64.b64encode(buffer.getvalue()).decode("ascii"))

    @classmethod
    def found_in(cls, log: str) -> Answer | None:
        """Return the answer that a job's log holds, or None."""
        found = _ANSWER.search(log)
        if found is None:
            return None
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(found[1]))) as archive:
            prefix = "files/"
            files = {
                name.removeprefix(prefix): archive.read(name)
                for name in archive.namelist()
                if name.startswith(prefix)
            }
            return cls(int(archive.read("code")), archive.read("out"), archive.read("err"), files)


def this_python() -> str:
    """Return the first two numbers of this interpreter's version: what packages are built for."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
