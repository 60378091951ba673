"""What a running sweep waits for: how long each trial has been silent, and what it still takes at least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from lossweep.search.study.pace import Pace


@dataclass(slots=True)
class _Course:
    """When a trial was heard of last, and how fast it went since its first evaluation."""

    heard: float
    reported: bool = False
    seconds: float = 0.0
    epochs: int = 0


class AwaitedTrials:
    """The trials that run, as far as their events tell when they go on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none; ``clock`` gives seconds."""
        self._clock = clock
        self._courses: dict[int, _Course] = {}
        self._pace = Pace()
        self._seconds, self._epochs = 0.0, 0

    def started(self, number: int) -> None:
        """Take a trial's start."""
        self._courses[number] = _Course(self._clock())

    def evaluated(self, number: int, epochs: int) -> None:
        """Take an evaluation behind so many new epochs; none of those is what a resumed trial tells again."""
        course = self._courses.setdefault(number, _Course(self._clock()))
        took = self._clock() - course.heard
        if course.reported and epochs > 0:  # until its first, a worker loads its libraries and its data
            self._pace.take(took)
            course.seconds, course.epochs = course.seconds + took, course.epochs + epochs
            self._seconds, self._epochs = self._seconds + took, self._epochs + epochs
        course.heard, course.reported = self._clock(), True

    def ended(self, number: int) -> None:
        """Take a trial's end."""
        self._courses.pop(number, None)

    def least(self, number: int, epochs: float) -> float:
        """Seconds that a trial still takes at least, with so many epochs to go.

        One that is overdue is given as long again as it has been silent: nothing else is known of it.
        """
        course = self._courses.get(number)
        if course is None:
            return 0.0
        silent, usual = self._clock() - course.heard, self._pace.usual
        seconds, done = (course.seconds, course.epochs) if course.epochs else (self._seconds, self._epochs)
        rest = epochs * seconds / done - silent if done else 0.0
        overdue = usual is not None and silent > usual
        return max(rest, silent) if overdue else max(rest, 0.0)

    def names(self, numbers: Sequence[int], most: int) -> str:
        """Name trials, each with the time that its next evaluation has taken so far; ``most`` at most."""
        shown = ", ".join(f"trial {number} ({self._so_far(number)})" for number in numbers[:most])
        return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown

    def _so_far(self, number: int) -> str:
        course, usual = self._courses.get(number), self._pace.usual
        so_far = f"{_words(self._clock() - course.heard)} so far" if course is not None else "not begun"
        return so_far if usual is None else f"{so_far}, usually {_words(usual)}"


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 99.5 else str(timedelta(seconds=round(seconds)))
