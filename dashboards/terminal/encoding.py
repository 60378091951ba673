"""What is printed where an encoding lacks letters: the nearest ones that it has, and never an exception.

Imports little: the command line starts with it.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

NEAREST: Final = "lossweep-nearest"
"""The error handler of Python's codecs that puts them there."""

_NEAREST: Final[Mapping[str, str]] = {
    "–": "-",
    "—": "-",
    "·": ".",
    "…": ".",
    "±": "+-",
    "×": "x",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    **{bar: str(level) for level, bar in enumerate("▁▂▃▄▅▆▇█", start=1)},
}


def tolerate(stream: Any) -> None:
    """Let a text stream print everything; one that a test or a notebook put there is left as it is."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=NEAREST)


def nearest(letter: str) -> str:
    """Return what stands for a letter in ASCII."""
    if letter in _NEAREST:
        return _NEAREST[letter]
    if 0xD800 <= ord(letter) < 0xE000:  # a byte of a file's name that is no UTF-8
        return repr(letter)[1:-1]
    bare = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii")
    return bare or "?"


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(nearest, error.object[error.start : error.end])), error.end


codecs.register_error(NEAREST, _handle)
