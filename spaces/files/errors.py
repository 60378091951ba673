"""The errors a user meets, in the user's words: file, line, key, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what would be right.

    Attributes:
        message: what is wrong, as a short sentence without a full stop.
        file: the file it was found in, as the user named it.
        line: its line in that file, counted from 1.
        key: the dotted path of the key, such as ``space.phases[1].loss.gamma``.
        found: what stands there, already rendered.
        allowed: what may stand there, already rendered.
        hint: what the user could do about it.
    """

    message: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    found: str | None = None
    allowed: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        head = ": ".join(part for part in (place, self.key, self.message) if part)
        tail = [f"found {self.found}"] if self.found is not None else []
        tail += [f"allowed: {self.allowed}"] if self.allowed is not None else []
        tail += [self.hint] if self.hint is not None else []
        return one_line("; ".join([head, *tail]))


def one_line(text: str) -> str:
    """Return a text fit for one line of any terminal.

    A file's name in it may hold line breaks, terminal escapes, or bytes that are no UTF-8, which
    printing would fail on: they are shown escaped.
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def visible_lines(text: str) -> str:
    """Return several lines, such as a traceback, fit for any terminal; see `one_line`."""
    return "\n".join(one_line(line.rstrip("\r").expandtabs()) for line in text.split("\n"))


class LossweepError(Exception):
    """The root of all errors raised on purpose. ``exit_code`` is what the command line returns."""

    exit_code = 1


class UserError(LossweepError):
    """One or more mistakes that the user can mend. Printed without a traceback."""

    exit_code = 2

    def __init__(self, problems: Problem | str | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[UserError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the hint that names the known word closest to a misspelt one, or None when none is close."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def refused(
    message: str,
    *,
    key: str = "",
    found: str | None = None,
    allowed: str | None = None,
    hint: str | None = None,
) -> PydanticCustomError:
    """Return the error that a validator of a pydantic model raises, with the parts of a `Problem`.

    Args:
        message: what is wrong, as a short sentence without a full stop.
        key: the dotted path of the key below the model that is validated, or empty for the model itself.
        found: what stands there, rendered; None renders the value itself when ``key`` is given.
        allowed: what may stand there, rendered.
        hint: what the user could do about it.
    """
    context = {"message": message, "key": key, "found": found, "allowed": allowed, "hint": hint}
    return PydanticCustomError("refused", "{message}", context)
