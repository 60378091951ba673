"""Reads a schedule from the line that it is written on.

docs/schedules.md has the grammar.

``weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x4 | 3 cycles | 30 epochs``
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.one_line import WORD
from lossweep.spaces.losses.ramp import RAMP_SHAPES
from lossweep.spaces.losses.terms import KNOWN_TERMS
from lossweep.spaces.metric_names import higher_is_better

_FLAT: Final[Mapping[str, tuple[str, ...]]] = {"weights": ("power", "beta", "cap")}
"""Parameters written without the key they are under: ``power=0.7`` for ``weights: {power: 0.7}``."""

_AROUND: Final = frozenset(term.known_as() for term in KNOWN_TERMS if "loss" in term.model_fields)
"""The terms around another, which stands first among their parameters: ``per_object(dice)``."""

_KEYS: Final = {term.known_as(): frozenset(term.model_fields) for term in KNOWN_TERMS}
"""The parameters of each term."""

METRIC: Final = r"[A-Za-z_]\w*(?:\.\d+)?(?:/[A-Za-z_][\w-]*)?"
_NUMBER: Final = r"[-+]?(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_RAMP: Final = (
    rf"(?:(?P<shape>{'|'.join(RAMP_SHAPES)})\s*\()?\s*(?P<start>{_NUMBER})\s*\.\.\s*(?P<end>{_NUMBER})\s*"
    r"(?(shape)\))"
)
_TERM: Final = rf"{WORD}(?:(?:\.{WORD})*:{WORD})?"
_DECODER: Final = json.JSONDecoder()


def parse(line: str) -> dict[str, Any]:
    """Read a schedule's line into plain data, which is still to be validated.

    Raises:
        UserError: with what was expected and where, when the line doesn't follow the grammar.
    """
    return _Reader(line).schedule()


class _Reader:
    """Reads a line from left to right."""

    def __init__(self, line: str) -> None:
        self._line, self._at = line, 0

    def _blanks(self) -> None:
        while self._at < len(self._line) and self._line[self._at].isspace():
            self._at += 1

    def _take(self, pattern: str) -> str | None:
        """Take what matches next, blanks before it skipped; None when it doesn't match."""
        self._blanks()
        match = re.compile(pattern).match(self._line, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match.group()

    def _expect(self, pattern: str, what: str) -> str:
        taken = self._take(pattern)
        return taken if taken is not None else self._fail(what)

    def _fail(self, what: str) -> NoReturn:
        self._blanks()
        rest = self._line[self._at :]
        raise UserError(
            Problem(
                f"the schedule's line can't be read at character {self._at + 1}",
                found=rest[:40] or "the end of the line",
                allowed=what,
            )
        )

    def _whole(self, what: str) -> int:
        return int(self._expect(r"\d+(?![\w.])", what))

    def _real(self, what: str) -> float:
        return float(self._expect(_NUMBER, what))

    def schedule(self) -> dict[str, Any]:
        data: dict[str, Any] = {"phases": [self._phase()]}
        while self._take(r"->"):
            data["phases"].append(self._phase())
        while self._take(r"\|"):
            count = self._whole("N cycles or N epochs")
            name = self._expect(r"cycles?\b|epochs?\b", "cycles or epochs").rstrip("s") + "s"
            if name in data:
                self._fail(f"{name} only once")
            data[name] = count
        self._blanks()
        if self._at < len(self._line):
            self._fail("->, | N cycles, | N epochs, or the end")
        return data

    def _phase(self) -> dict[str, Any]:
        phase: dict[str, Any] = {"loss": self._loss()}
        self._expect("@", "+, or @ and the learning rate")
        phase["learning_rate"] = self._real("a learning rate such as 1e-3")
        if self._take(r"x(?=\s*\d)"):
            phase["epochs"] = self._whole("a number of epochs")
        elif self._take(r"until\b"):
            phase["until"] = self._until()
        else:
            self._fail("a length: xN, or until METRIC>=LEVEL in LEAST..MOST")
        words: set[str] = set()
        while word := self._take(r"(?:constant|cosine|drop|warmup|fresh)\b"):
            kind = "constant, cosine or drop" if word in ("constant", "cosine", "drop") else word
            if kind in words:
                self._fail(f"{kind} only once")
            words.add(kind)
            if word == "warmup":
                phase["warmup_steps"] = self._whole("a number of steps")
            elif word == "fresh":
                phase["keep_moments"] = False
            else:
                phase["shape"] = word
        return phase

    def _until(self) -> dict[str, Any]:
        self._blanks()
        quoted = self._line[self._at : self._at + 1] == '"'
        metric = str(self._json()) if quoted else self._expect(METRIC, "a metric's name")
        higher = higher_is_better(metric)
        self._expect(">=" if higher else "<=", f"{'>=' if higher else '<='} and a level, for {metric}")
        until: dict[str, Any] = {"metric": metric, "at_least": self._real("a level")}
        self._expect(r"in\b", "in LEAST..MOST")
        least = int(self._expect(r"\d+", "the least number of epochs"))
        self._expect(r"\.\.", "..")
        until["epochs"] = [least, self._whole("the most epochs")]
        if self._take(r"back\b"):
            self._expect("<" if higher else ">", f"{'<' if higher else '>'} and a level, for {metric}")
            until["back_below"] = self._real("a level")
        return until

    def _loss(self) -> dict[str, Any]:
        parts = [self._part()]
        while self._take(r"\+"):
            parts.append(self._part())
        if len(parts) == 1 and "weight" not in parts[0]:
            loss: dict[str, Any] = parts[0]["loss"]
            return loss
        if len(parts) == 1:
            self._fail("+ and another term: a weight stands in a sum only")
        return {"sum": parts}

    def _part(self) -> dict[str, Any]:
        weight: Any = self._ramp(followed_by=r"\s*\*")
        if weight is None and (number := self._take(rf"{_NUMBER}(?=\s*\*)")) is not None:
            weight = float(number)
        if weight is not None:
            self._take(r"\*")
        part: dict[str, Any] = {"loss": self._term()}
        return part if weight is None else {"weight": weight, **part}

    def _term(self) -> dict[str, Any]:
        name = self._expect(_TERM, "a loss term")
        arguments: dict[str, Any] = {}
        if self._take(r"\("):
            while not self._take(r"\)"):
                if arguments:
                    self._expect(",", ", or )")
                elif name in _AROUND:
                    arguments["loss"] = self._term()
                    continue
                self._blanks()
                quoted = self._line[self._at : self._at + 1] == '"'
                key = str(self._json()) if quoted else self._expect(WORD, "a parameter's name")
                if key in arguments:
                    self._fail(f"{key} only once")
                self._expect("=", "= and a value")
                ramp = None if ":" in name else self._ramp()
                arguments[key] = self._json() if ramp is None else ramp
        if ":" in name:
            return {"term": name, "parameters": arguments}
        for key, flat in _FLAT.items():
            given = [each for each in flat if each in arguments] if key in _KEYS.get(name, ()) else []
            inner = {each: arguments.pop(each) for each in given}
            if inner and key in arguments:
                self._fail(f"{key}, or {' and '.join(inner)}, not both")
            if inner:
                arguments[key] = inner
        return {"term": name, **arguments}

    def _ramp(self, followed_by: str = "") -> dict[str, Any] | None:
        """A number that goes from one to another: ``0.01..1``, ``cosine(0.01..1)``."""
        taken = self._take(f"{_RAMP}(?={followed_by})")
        if taken is None:
            return None
        found = re.fullmatch(_RAMP, taken)
        assert found is not None
        ramp = {"from": float(found["start"]), "to": float(found["end"])}
        return ramp if found["shape"] is None else {**ramp, "shape": found["shape"]}

    def _json(self) -> Any:
        """A value: JSON, or a bare word for text."""
        word = self._take(rf"(?!(?:true|false|null)\b){WORD}")
        if word is not None:
            return word
        # JSON has no .7, but learning rates and levels may be written so.
        if (fraction := self._take(r"[-+]?\.\d+(?:[eE][-+]?\d+)?(?![\w.])")) is not None:
            return float(fraction)
        self._blanks()
        try:
            value, end = _DECODER.raw_decode(self._line, self._at)
        except json.JSONDecodeError:
            self._fail("a value: a number, a word, true, false, null, or JSON")
        self._at = end
        return value
