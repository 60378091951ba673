"""What a loss term is: plain data that says its formula, its source and when to use it."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

Reduction = Literal["batch", "image"]
"""Region losses: one ratio over the whole batch, or the mean of one ratio an image."""

GREY: Final = "#999999"
"""The colour of what has none of its own."""


class Frozen(BaseModel):
    """Immutable, comparable, hashable data that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Term(Frozen):
    """A named loss. Its docstring says what it is, its class variables the source and the use.

    A term of lossweep's own is a model in a file of `spaces.losses.families` and what computes it in a file
    of `trainers.losses.families`. Nothing else lists it.

    Attributes:
        term: its name in a file.
        place: where it stands in lists and in a sum. The canonical form of a sum has its terms in this order,
            and its key follows from that: a place, once given, stays.
        formula: what is computed. t is a pixel's true class, p the probabilities; TP, FP and FN are soft
            counts: sums of p over the class's own pixels, of p over the others, of 1 - p over its own.
        source: the paper or library it is defined in.
        when: when to reach for it.
        short_name: fits above a phase of a few epochs in a plot.
        color: in plots.
    """

    place: ClassVar[int]
    formula: ClassVar[str]
    source: ClassVar[str]
    when: ClassVar[str]
    short_name: ClassVar[str]
    color: ClassVar[str] = GREY

    term: str

    @model_serializer(mode="wrap")
    def _named(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A term keeps its name, also where defaults are left out.
        return {"term": self.term, **handler(self)}

    @classmethod
    def known_as(cls) -> str:
        """Return the name it has in a file."""
        return str(cls.model_fields["term"].default)
