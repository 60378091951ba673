"""The loss terms as a list to read: parameters, ranges, source, when to use each; drawn from the models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from lossweep.spaces.files.numbers import number
from lossweep.spaces.files.validation import allowed_in
from lossweep.spaces.losses.terms import KNOWN_TERMS, Compound, ImportedLoss, Term, WeightedTerm


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """One parameter of a loss term.

    Attributes:
        name: as it stands in a file.
        range: what it may be, in words.
        default: its value when it is left out, or ``required``.
        meaning: what it does.
    """

    name: str
    range: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class TermEntry:
    """One loss term.

    Attributes:
        term: its name in a file.
        summary: what it is, in a sentence.
        formula: the loss in symbols.
        source: the paper or library it is defined in.
        when: when to reach for it.
        parameters: in the order they are documented.
    """

    term: str
    summary: str
    formula: str
    source: str
    when: str
    parameters: tuple[ParameterEntry, ...]


@cache
def catalog() -> tuple[TermEntry, ...]:
    """All terms a phase can train with; sums and a user's own losses come last."""
    known = (
        TermEntry(
            term=term.known_as(),
            summary=_summary(term),
            formula=term.formula,
            source=term.source,
            when=term.when,
            parameters=_parameters(term),
        )
        for term in KNOWN_TERMS
    )
    compound = TermEntry(
        term="sum",
        summary=_summary(Compound),
        formula="weight_1 loss_1 + weight_2 loss_2 + ...",
        source="Isensee et al., nnU-Net, Nature Methods 2021 (cross-entropy + Dice)",
        when="a pixel loss steadies a region loss; cross-entropy + Dice is a sturdy default",
        parameters=(
            *_parameters(WeightedTerm),
            ParameterEntry("loss", "any term but a sum", "required", "the term; a sum has two or more"),
        ),
    )
    imported = TermEntry(
        term="package.module:Name",
        summary=_summary(ImportedLoss),
        formula="your own",
        source="your own",
        when="a loss that lossweep lacks: an nn.Module, or a factory of one, called with logits and masks",
        parameters=_parameters(ImportedLoss),
    )
    return (*known, compound, imported)


def table() -> str:
    """Return the terms as the table of docs/losses.md."""
    rows = [f"| `{entry.term}` | `{entry.formula}` | {entry.source} |" for entry in catalog()]
    return "\n".join(["| term | formula | source |", "| --- | --- | --- |", *rows])


def _summary(model: type) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0].replace("``", "")


def _parameters(model: type[Term | WeightedTerm | ImportedLoss]) -> tuple[ParameterEntry, ...]:
    entries = []
    for name, info in model.model_fields.items():
        if name == "term" or (model is WeightedTerm and name == "loss"):
            continue
        default = info.get_default(call_default_factory=True, validated_data={})
        entries.append(
            ParameterEntry(
                name=name,
                range=_terms(info.annotation) or allowed_in(model, (name,)) or "keys with values",
                default=_shown(default),
                meaning=info.description or "",
            )
        )
    return tuple(entries)


def _terms(annotation: Any) -> str:
    """The names of the terms of which one may stand in a field, if any may."""
    kinds = get_args(annotation)
    return ", ".join(kind.known_as() for kind in kinds if isinstance(kind, type) and issubclass(kind, Term))


def _shown(default: object) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None or default == {}:
        return "none"
    return number(default) if isinstance(default, float) else str(default)
