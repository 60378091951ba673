"""A parameter of a loss that goes from one value to another within a phase, linearly or along a cosine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from lossweep.spaces.files.errors import refused
from lossweep.spaces.files.numbers import number
from lossweep.spaces.losses.term import Frozen

RampShape = Literal["linear", "cosine"]
RAMP_SHAPES: Final[tuple[RampShape, ...]] = get_args(RampShape)
"""How a parameter may get from one value to the other."""

FrozenT = TypeVar("FrozenT", bound=Frozen)


@dataclass(frozen=True, slots=True)
class Ramp:
    """A number that changes with every step of a phase.

    Attributes:
        start: at the phase's first step; ``from`` in a file.
        end: reached when the phase has had all its epochs, and held from there on; ``to`` in a file.
        shape: ``linear``, or ``cosine``: along half a cosine, flat at both ends.
    """

    start: float
    end: float
    shape: RampShape = "linear"

    def at(self, share: float) -> float:
        """The value at a share of the phase, which counts as 0 below 0 and as 1 above 1."""
        share = min(max(share, 0.0), 1.0)
        way = share if self.shape == "linear" else 0.5 * (1.0 - math.cos(math.pi * share))
        value = (1.0 - way) * self.start + way * self.end
        low, high = sorted((self.start, self.end))
        return min(max(value, low), high)  # also where rounding would lead outside of both

    def plain(self) -> dict[str, Any]:
        """The ramp as it is written to files."""
        ends = {"from": self.start, "to": self.end}
        return ends if self.shape == "linear" else {**ends, "shape": self.shape}

    def __str__(self) -> str:
        """The ramp on one line: ``0.01..1``, ``cosine(0.01..1)``."""
        ends = f"{number(self.start)}..{number(self.end)}"
        return ends if self.shape == "linear" else f"{self.shape}({ends})"


def is_ramp(node: object) -> bool:
    """Whether plain data is written as a ramp, its ends perhaps distributions: ``{from: ..., to: ...}``."""
    return isinstance(node, dict) and {"from", "to"} <= node.keys() <= {"from", "to", "shape"}


@dataclass(frozen=True, slots=True)
class Ramped:
    """What a parameter may be that may be a ramp: ``Annotated[float | Ramp, Ramped(ge=0.0)]``.

    Only for parameters whose value decides nothing of a loss's structure: the loss is built once a phase, and
    each step sets its tensors. A ramp whose ends are equal is the number.

    Attributes:
        gt: it is above this, as a number and at both ends.
        ge: or at least this.
        lt: and below this.
        le: or at most this.
        from_zero: a ramp may begin or end at 0, where a number may not.
    """

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    from_zero: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how pydantic reads and writes the parameter."""
        fixed = core_schema.float_schema(gt=self.gt, ge=self.ge, lt=self.lt, le=self.le, allow_inf_nan=False)
        end = core_schema.float_schema(ge=0.0, lt=self.lt, le=self.le, allow_inf_nan=False)
        fields = {
            **dict.fromkeys(("from", "to"), core_schema.typed_dict_field(end if self.from_zero else fixed)),
            "shape": core_schema.typed_dict_field(core_schema.literal_schema([*RAMP_SHAPES]), required=False),
        }
        ramp: CoreSchema = core_schema.typed_dict_schema(fields, extra_behavior="forbid")
        ramp = core_schema.no_info_before_validator_function(_plain, ramp)
        ramp = core_schema.no_info_after_validator_function(self._canonical, ramp)
        return core_schema.tagged_union_schema(
            {"number": fixed, "ramp": ramp},
            _form,
            serialization=core_schema.plain_serializer_function_ser_schema(_plain),
        )

    def _canonical(self, found: dict[str, Any]) -> Ramp | float:
        start, end = found["from"], found["to"]
        if start != end:
            return Ramp(start, end, found.get("shape", "linear"))
        if self.from_zero and start == 0:
            raise refused("stays 0 throughout", key="to", allowed="another number than from")
        return float(start)


def _form(value: object) -> str:
    if isinstance(value, dict):
        return "ramp" if value.keys() & {"from", "to"} else "number"
    return "ramp" if isinstance(value, Ramp) else "number"


def _plain(value: Any) -> Any:
    return value.plain() if isinstance(value, Ramp) else value


_ANY: Final[TypeAdapter[float | Ramp]] = TypeAdapter(Annotated[float | Ramp, Ramped()])


def plain_ramp(node: Mapping[str, Any]) -> Any:
    """A ramp of plain numbers as a loss that holds it is written: without what is at its default.

    Raises:
        ValidationError: it is none.
    """
    return _plain(_ANY.validate_python(node))


def fixed(value: float | Ramp) -> float:
    """The number that a parameter of a `settled` loss is.

    Raises:
        TypeError: it is still a ramp.
    """
    if isinstance(value, Ramp):
        raise TypeError(
            f"a ramp has no value but at a share of its phase: settle the loss first, got {value}"
        )
    return value


def settled(loss: FrozenT, share: float) -> FrozenT:
    """A loss with each of its ramps at the value of a share of the phase, from 0 to 1."""
    changed = {
        name: value
        for name in type(loss).model_fields
        if (value := _settled(before := getattr(loss, name), share)) is not before
    }
    return loss.model_copy(update=changed) if changed else loss


def _settled(value: Any, share: float) -> Any:
    if isinstance(value, Ramp):
        return value.at(share)
    if isinstance(value, Frozen):
        return settled(value, share)
    if isinstance(value, tuple):
        inner = tuple(_settled(each, share) for each in value)
        return inner if any(a is not b for a, b in zip(inner, value, strict=True)) else value
    return value


def ramps(value: object) -> Iterator[Ramp]:
    """Yield the ramps of a loss, or of a part of one."""
    if isinstance(value, Ramp):
        yield value
    elif isinstance(value, Frozen):
        for name in type(value).model_fields:
            yield from ramps(getattr(value, name))
    elif isinstance(value, tuple):
        for each in value:
            yield from ramps(each)
