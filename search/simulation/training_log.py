"""What a simulated trainer really did: its attempts, epochs and checkpoints, so that lost work can be told.

One file, to which every process appends whole lines. A line stands once its deed is done: a checkpoint
counts from the moment it lay under its name.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Deed = Literal["begun", "trained", "saved"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Attributes:
        deed: ``begun``, an attempt, which looks for the newest checkpoint next; ``trained``, an epoch;
            ``saved``, its checkpoint.
        trial: its number.
        epoch: which one; 0 with ``begun``.
        pid: the process.
        attempt: its own name.
        prefix: what was trained up to this epoch, in one word: the same for whichever trial.
    """

    deed: Deed
    trial: int
    epoch: int
    pid: int
    attempt: str
    prefix: str


class TrainingLog:
    """The log in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trained.log"

    def begin(self, trial: int) -> str:
        """Note that an attempt begins, before it looks for a checkpoint; return its name."""
        attempt = uuid.uuid4().hex[:12]
        self.note("begun", trial, 0, attempt)
        return attempt

    def note(self, deed: Deed, trial: int, epoch: int, attempt: str, prefix: str = "") -> None:
        """Append a line; one write each, so that those of several processes never mix.

        Args:
            deed: what was done.
            trial: by which.
            epoch: which one.
            attempt: by which.
            prefix: what was trained up to it; of a trial that shares nothing, its number says it.
        """
        line = f"{deed} {trial} {epoch} {os.getpid()} {attempt} {prefix or f'{trial}:{epoch}'}\n".encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def entries(self) -> Iterator[Entry]:
        """Yield the lines in the order in which they were written."""
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            deed, trial, epoch, pid, attempt, prefix = line.split()
            yield Entry(deed, int(trial), int(epoch), int(pid), attempt, prefix)  # type: ignore[arg-type] # as written

    def trained_needlessly(self) -> list[str]:
        """Say each time when an epoch was trained that a checkpoint held; empty as it must be.

        An attempt trains nothing that a checkpoint held when it began, whichever trial had written it, and
        each later epoch once, in order. What an orphaned worker saves later is no checkpoint that stood then.
        """
        saved: dict[str, int] = {}
        began: dict[str, int] = {}
        last: dict[str, int] = {}
        wrong: list[str] = []
        for place, entry in enumerate(self.entries()):
            what = f"trial {entry.trial}, attempt {entry.attempt}: epoch {entry.epoch} was trained"
            match entry.deed:
                case "begun":
                    began[entry.attempt] = place
                case "saved":
                    saved.setdefault(entry.prefix, place)
                case "trained":
                    before = last.get(entry.attempt)
                    if saved.get(entry.prefix, place) < began[entry.attempt]:
                        wrong.append(f"{what}, though it was saved when it began")
                    elif before is not None and entry.epoch != before + 1:
                        wrong.append(f"{what} after {before}")
                    last[entry.attempt] = entry.epoch
        return wrong

    def trained_twice(self) -> list[str]:
        """Say each time when an epoch was trained that a checkpoint held by then, if not when it began.

        Beyond `trained_needlessly`, that is what trials trained side by side that could have waited for one
        another, and what an orphaned worker trained.
        """
        saved: set[str] = set()
        wrong = []
        for entry in self.entries():
            if entry.deed == "saved":
                saved.add(entry.prefix)
            elif entry.deed == "trained" and entry.prefix in saved:
                wrong.append(f"trial {entry.trial}: epoch {entry.epoch} was trained by another one meanwhile")
        return wrong


def trained(folder: Path) -> list[tuple[int, int]]:
    """The epochs that were really trained, as (trial, epoch), in order."""
    return [(e.trial, e.epoch) for e in TrainingLog(folder).entries() if e.deed == "trained"]
