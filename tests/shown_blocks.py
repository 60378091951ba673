"""The blocks of code that README and the pages of docs/ show: where each stands, and how it is marked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_DOCS: Final = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
PAGES: Final = ("README.md", "CONTRIBUTING.md", *_DOCS)

_FENCE: Final = re.compile(
    r"^(?P<marks>(?:<!--[^\n]*-->\n)*)(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.M | re.S
)
_SHELL: Final = ("bash", "sh", "shell", "console")


@dataclass(frozen=True, slots=True)
class Block:
    """One block that somebody may type.

    Attributes:
        page: its file, from the repository's root.
        line: of its fence, from 1.
        language: as the fence says; ``console`` for one whose commands stand behind a ``$``.
        text: what it shows.
        marks: comments right above it, without their arrows.
    """

    page: str
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def run_by(self) -> str | None:
        """The file of tests that runs it; None where none does."""
        found = (re.match(r"run: ([\w/.]+\.py)", mark) for mark in self.marks)
        return next((match[1] for match in found if match), None)

    @property
    def reason(self) -> str | None:
        """Why no test runs it; None where none is given."""
        found = (re.fullmatch(r"not run: (.+)", mark) for mark in self.marks)
        return next((match[1] for match in found if match), None)

    @property
    def commands(self) -> Iterator[list[str]]:
        """The words of each command of a shell block, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            for command in line.split(" && "):
                if words := shlex.split(command, comments=True):
                    yield words

    @property
    def lossweep(self) -> Iterator[list[str]]:
        """The words behind ``lossweep`` of each command that is one of lossweep's."""
        return (words[1:] for words in self.commands if Path(words[0]).name == "lossweep")


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the blocks of a page that can be run: of a shell, and of Python."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        language = match["language"]
        if language in ("", "text") and match["text"].startswith("$ "):
            language = "console"
        if language in (*_SHELL, "python"):
            marks = tuple(re.findall(r"<!-- *(.*?) *-->", match["marks"]))
            line = text.count("\n", 0, match.start("language")) + 1
            yield Block(page, line, language, match["text"], marks)


def shown_blocks() -> tuple[Block, ...]:
    """Return the blocks of all pages, page by page."""
    return tuple(block for page in PAGES for block in blocks_of(page))
