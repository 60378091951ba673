"""Where a process stands, from what ``faulthandler`` writes of it."""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
_LOSSWEEP = Path(__file__).parents[2]
_LIBRARIES = tuple(
    f"{folder}/" for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), _LOSSWEEP)
)
_INSTALLED = ("/site-packages/", "/dist-packages/")


@dataclass(frozen=True, slots=True)
class Frame:
    """One call that is not over."""

    file: str
    line: int
    function: str

    @property
    def is_library(self) -> bool:
        """Whether it is in Python's own library, an installed one or lossweep."""
        return self.file.startswith(("<", *_LIBRARIES)) or any(each in self.file for each in _INSTALLED)

    def __str__(self) -> str:
        return f"{self.function} ({self.file}, line {self.line})"


@dataclass(frozen=True, slots=True)
class Stack:
    """The calls of one thread, the innermost first.

    Attributes:
        frames: of the thread that was asked for.
        text: of all threads, as it was written.
    """

    frames: tuple[Frame, ...]
    text: str

    @classmethod
    def of(cls, text: str, thread: int) -> Stack | None:
        """Read what was written; None when it holds no call of that thread.

        Args:
            text: of all threads.
            thread: which of them, by its identifier.
        """
        frames: list[Frame] = []
        wanted = False
        for line in text.splitlines():
            if head := _THREAD.match(line):
                wanted = int(head[1], 16) == thread
            elif wanted and (found := _FRAME.match(line)):
                frames.append(Frame(found[1], int(found[2]), found[3]))
        return cls(tuple(frames), text) if frames else None

    def where(self) -> str:
        """Say where it stands: in which call, and from where in the user's own code that was called."""
        innermost = self.frames[0]
        own = next((frame for frame in self.frames if not frame.is_library), innermost)
        return f"in {innermost}" + (f", called from {own}" if own is not innermost else "")
