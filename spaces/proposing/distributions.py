"""What a value of a space may be: fixed, one of several, or from a range; and how it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from lossweep.spaces.files.canonical import canonical_json
from lossweep.spaces.files.errors import refused
from lossweep.spaces.files.numbers import number
from lossweep.spaces.losses.terms import Frozen

Value = float | int | str | bool | None
"""What an optimizer's parameter can be."""
Parameters = dict[str, Value]
"""Parameters of one trial by name."""
Usual = dict[str, tuple[Value, ...]]
"""Where good values usually lie, by parameter."""


def _several(value: Any) -> Any:
    """One usual value, written alone, or several."""
    return value if value is None or isinstance(value, list | tuple) else (value,)


C = TypeVar("C", bound=Value)


class TrialLike(Protocol):
    """What a space asks for values: an Optuna trial, or anything that answers alike."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number from ``low`` to ``high``, both included."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""

    def suggest_categorical(self, name: str, choices: Sequence[C]) -> C:
        """Return one of the choices."""


class Outside(Exception):
    """A value isn't in a distribution; the text says what is."""


class Range(Frozen):
    """Numbers from ``low`` to ``high``, both included; all of them, or evenly spaced ones.

    Attributes:
        low: the least.
        high: the greatest.
        log: spread evenly over orders of magnitude.
        step: only ``low``, ``low + step``, ``low + 2 step``, ...
        levels: only this many values, evenly spaced (on the logarithm, with ``log``). Those between the ends
            are rounded to 3 significant digits, or to as many as tell them apart.
        usual: where good values usually lie, one or several: a hint for the first proposals, whose weight
            falls with the trials seen.
    """

    low: float | int = Field(description="the least value, included")
    high: float | int = Field(description="the greatest value, included")
    log: bool = Field(default=False, description="spread evenly over orders of magnitude")
    step: Annotated[float | int, Field(gt=0)] | None = Field(
        default=None, description="only low, low + step, low + 2 step, ..."
    )
    levels: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        default=None, description="only this many evenly spaced values"
    )
    usual: Annotated[tuple[float | int, ...], BeforeValidator(_several)] = Field(
        default=(), description="where good values usually lie, one or several; a hint that fades"
    )

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.low > self.high:
            raise refused(
                "low is above high", key="low", allowed=f"at most high, which is {number(self.high)}"
            )
        if self.log and self.low <= 0:
            raise refused("a logarithmic range starts above 0", key="low", allowed="> 0")
        if self.step is not None and self.levels is not None:
            raise refused("step and levels exclude each other", key="levels", hint="remove one of them")
        if self.step is not None and self.log:
            raise refused(
                "a logarithmic range has levels, not steps", key="step", hint="give levels: N instead"
            )
        for value in self.usual:
            if not self.low <= value <= self.high:
                allowed = f"from {number(self.low)} to {number(self.high)}"
                raise refused("is outside of its range", key="usual", found=number(value), allowed=allowed)
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the range was written in whole numbers."""
        return self.levels is None and all(
            isinstance(each, int) for each in (self.low, self.high, self.step or 0)
        )

    def ends(self) -> tuple[float | int, ...]:
        """The least and the greatest value."""
        return (self.low, self.high)

    def _grid(self) -> tuple[Decimal, Decimal, int] | None:
        """Origin, spacing and number of the values (of their logarithms, with ``log``), or None.

        In decimals, so that an optimizer finds the range divisible by its step.
        """
        low, high = (Decimal(repr(self._scaled(each))) for each in (self.low, self.high))
        if self.step is not None:
            step = Decimal(repr(self.step))
            return low, step, int((high - low) / step) + 1
        if self.levels is None or self.low == self.high:
            return None
        digits = Decimal(1).scaleb(min((high - low).adjusted() - 6, -6))
        return low.quantize(digits), ((high - low) / (self.levels - 1)).quantize(digits), self.levels

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def values(self) -> tuple[float, ...] | None:
        """All values of a range with steps or levels, rising; None for a continuous one."""
        grid = self._grid()
        if grid is None:
            return None
        return tuple(self._on_grid(grid, index) for index in range(grid[2]))

    def _on_grid(self, grid: tuple[Decimal, Decimal, int], index: int) -> float:
        origin, step, count = grid
        if self.step is None and index in (0, count - 1):
            return float(self.low if index == 0 else self.high)
        value = float(origin + index * step)
        if self.step is not None:
            return value
        # Three digits, or as many more as it takes to tell neighbors apart.
        spacing = float(step) / (1.0 if self.log else max(abs(self.low), abs(self.high)))
        digits = max(3, 2 - math.floor(math.log10(spacing)))
        value = float(f"{10.0**value if self.log else value:.{digits}g}")
        return min(max(value, self.low), self.high)

    def suggest(self, trial: TrialLike, name: str) -> float:
        """Ask for a number. A logarithmic grid is asked for by its logarithm, as ``log10_``."""
        if self.low == self.high:
            return float(self.low)
        grid = self._grid()
        if grid is None:
            return trial.suggest_float(name, float(self.low), float(self.high), log=self.log)
        origin, step, count = grid
        if count == 1:
            return float(self.low)
        asked = trial.suggest_float(
            self._asked(name), float(origin), float(origin + (count - 1) * step), step=float(step)
        )
        index = round((asked - float(origin)) / float(step))
        return self._on_grid(grid, min(max(index, 0), count - 1))

    def parameters_of(self, value: float, name: str) -> Parameters:
        """The parameters for which `suggest` returns exactly ``value``.

        Raises:
            Outside: when no parameters do.
        """
        grid = self._grid()
        if grid is None:
            if not self.low <= value <= self.high:
                raise Outside(f"{number(value)} is not in {self}")
            return {} if self.low == self.high else {name: float(value)}
        origin, step, count = grid
        for index in range(count):
            if self._on_grid(grid, index) == value:
                return {self._asked(name): float(origin + index * step)} if count > 1 else {}
        raise Outside(f"{number(value)} is not in {self}")

    def _asked(self, name: str) -> str:
        head, dot, tail = name.rpartition(".")
        return f"{head}{dot}log10_{tail}" if self.log else name

    def suggest_whole(self, trial: TrialLike, name: str) -> int:
        """Ask for a whole number; for ranges that `is_whole`."""
        low, high, step = int(self.low), int(self.high), int(self.step or 1)
        high -= (high - low) % step
        return low if low == high else trial.suggest_int(name, low, high, step=step, log=self.log)

    def whole_parameters_of(self, value: int, name: str) -> Parameters:
        """The inverse of `suggest_whole`.

        Raises:
            Outside: when ``value`` isn't in the range.
        """
        low, high, step = int(self.low), int(self.high), int(self.step or 1)
        if not low <= value <= high or (value - low) % step:
            raise Outside(f"{value} is not in {self}")
        return {} if high - low < step else {name: value}

    def __str__(self) -> str:
        text = f"{number(self.low)}..{number(self.high)}"
        if self.step is not None:
            text += f" in steps of {number(self.step)}"
        if self.levels is not None:
            text += f" in {self.levels} levels"
        return text + " (log)" * self.log


class Choice(Frozen):
    """One of several values, without order."""

    choice: Annotated[tuple[JsonValue, ...], Field(min_length=1)] = Field(
        description="the values to choose from"
    )
    usual: Annotated[tuple[JsonValue, ...], BeforeValidator(_several)] = Field(
        default=(), description="which are usually good, one or several; a hint that fades"
    )

    @model_validator(mode="after")
    def _usual_ones_are_among_them(self) -> Choice:
        for value in self.usual:
            if value not in self.choice:
                found = canonical_json(value)
                raise refused("is not among the choices", key="usual", found=found, allowed=str(self))
        return self

    @field_validator("choice")
    @classmethod
    def _different(cls, values: tuple[JsonValue, ...]) -> tuple[JsonValue, ...]:
        texts = [canonical_json(value) for value in values]
        for index, text in enumerate(texts):
            if text in texts[:index]:
                raise refused("the same choice stands there twice", key=f"[{index}]")
        return values

    @property
    def _labels(self) -> tuple[Value, ...]:
        """The choices as an optimizer takes them: lists and mappings as their JSON."""
        return tuple(
            canonical_json(value) if isinstance(value, list | dict) else value for value in self.choice
        )

    def ends(self) -> tuple[JsonValue, ...]:
        """All choices."""
        return self.choice

    def suggest(self, trial: TrialLike, name: str) -> Any:
        """Ask for one of the choices."""
        if len(self.choice) == 1:
            return self.choice[0]
        labels = self._labels
        return self.choice[labels.index(trial.suggest_categorical(name, labels))]

    def parameters_of(self, value: Any, name: str) -> Parameters:
        """The parameters for which `suggest` returns ``value``.

        Raises:
            Outside: when it isn't among the choices.
        """
        for choice, label in zip(self.choice, self._labels, strict=True):
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return {name: label} if len(self.choice) > 1 else {}
        raise Outside(f"{canonical_json(value)} is not among {self}")

    def __str__(self) -> str:
        return ", ".join(str(label) for label in self._labels)


def _form(value: Any) -> str:
    if isinstance(value, Choice) or (isinstance(value, dict) and "choice" in value):
        return "choice"
    return "range" if isinstance(value, dict | Range) else "fixed"


_Range = Annotated[Range, Tag("range")]
_Choice = Annotated[Choice, Tag("choice")]
Numbers = Annotated[Annotated[float, Tag("fixed")] | _Range | _Choice, Discriminator(_form)]
"""A fixed number, ``{low, high, log, step, levels}`` or ``{choice: [...]}``."""
Counts = Annotated[Annotated[int, Tag("fixed")] | _Range | _Choice, Discriminator(_form)]
"""A fixed whole number, or a distribution of whole numbers."""
Words = Annotated[Annotated[str, Tag("fixed")] | _Choice, Discriminator(_form)]
"""A fixed word, or ``{choice: [...]}``."""
Flags = Annotated[Annotated[bool, Tag("fixed")] | _Choice, Discriminator(_form)]
"""True, false, or ``{choice: [true, false]}``."""


def is_distribution(node: Any) -> bool:
    """Whether plain data is written as a distribution."""
    if not isinstance(node, dict):
        return False
    return {"choice"} <= set(node) <= {"choice", "usual"} or {"low", "high"} <= set(node)


def ends(node: Any) -> Iterator[Any]:
    """Yield the extreme values of a fixed value or a distribution: what a check of ranges has to look at."""
    yield from node.ends() if isinstance(node, Range | Choice) else (node,)


def suggest(node: Any, trial: TrialLike, name: str, *, whole: bool = False) -> Any:
    """Ask for a value of a fixed value (no question) or a distribution."""
    if isinstance(node, Range):
        return node.suggest_whole(trial, name) if whole else node.suggest(trial, name)
    return node.suggest(trial, name) if isinstance(node, Choice) else node


def parameters_of(node: Any, value: Any, name: str, *, whole: bool = False) -> Mapping[str, Value]:
    """The inverse of `suggest`.

    Raises:
        Outside: when the value is another than the fixed one, or isn't in the distribution.
    """
    if isinstance(node, Range):
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise Outside(f"{canonical_json(value)} is not a number in {node}")
        return node.whole_parameters_of(int(value), name) if whole else node.parameters_of(value, name)
    if isinstance(node, Choice):
        return node.parameters_of(value, name)
    if node != value:
        raise Outside(f"{canonical_json(value)} is not {canonical_json(node)}")
    return {}


def usual_of(node: Any, name: str, *, whole: bool = False) -> Usual:
    """The usual values of a distribution as its parameter has them; nothing of one without any.

    Of a range with steps or levels, the ones nearest to them.
    """
    found: dict[str, dict[Value, None]] = {}
    values: tuple[Any, ...] = node.usual if isinstance(node, Range | Choice) else ()
    if isinstance(node, Range) and not whole:
        values = tuple(nearest_values(node, value)[0] for value in values)
    for value in values:
        for parameter, answer in parameters_of(node, value, name, whole=whole).items():
            found.setdefault(parameter, {})[answer] = None
    return {parameter: tuple(asked) for parameter, asked in found.items()}


def nearest_values(spread: Any, wanted: float) -> Sequence[float]:
    """The numbers of a fixed value or a distribution, the one nearest to ``wanted`` first.

    Of a continuous range, only the nearest.
    """
    if isinstance(spread, Choice):
        values: Sequence[float] = tuple(
            each for each in spread.choice if isinstance(each, float | int) and not isinstance(each, bool)
        )
    elif isinstance(spread, Range):
        values = spread.values() or (min(max(wanted, float(spread.low)), float(spread.high)),)
    else:
        values = () if spread is None else (float(spread),)
    return sorted(values, key=lambda value: (abs(value - wanted), value))
