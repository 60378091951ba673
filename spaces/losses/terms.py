"""The losses a phase may train with, as data: known terms, a user's own, sums. `trainers.losses` builds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias, Union

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator

from lossweep.spaces.discovery import defined_in
from lossweep.spaces.files.canonical import canonical_json, tidied
from lossweep.spaces.files.errors import refused
from lossweep.spaces.losses import families
from lossweep.spaces.losses.class_weights import ClassWeights, EffectiveNumberWeights, FrequencyWeights
from lossweep.spaces.losses.families.boundary import Boundary
from lossweep.spaces.losses.families.correlation import MatthewsCorrelation
from lossweep.spaces.losses.families.cross_entropy import CrossEntropy, WeightedCrossEntropy
from lossweep.spaces.losses.families.focal import Focal
from lossweep.spaces.losses.families.lovasz import Lovasz
from lossweep.spaces.losses.families.per_object import PerObject
from lossweep.spaces.losses.families.regions import Dice, FocalTversky, Jaccard, Tversky
from lossweep.spaces.losses.families.skeleton_recall import SkeletonRecall
from lossweep.spaces.losses.families.soft_jaccard import SoftJaccard
from lossweep.spaces.losses.families.topk import TopKCrossEntropy
from lossweep.spaces.losses.ramp import Ramp, Ramped
from lossweep.spaces.losses.term import Frozen, Reduction, Term

__all__ = [
    "KNOWN_TERMS",
    "Boundary",
    "ClassWeights",
    "Compound",
    "CrossEntropy",
    "Dice",
    "EffectiveNumberWeights",
    "Focal",
    "FocalTversky",
    "FrequencyWeights",
    "Frozen",
    "ImportedLoss",
    "Jaccard",
    "KnownTerm",
    "Loss",
    "Lovasz",
    "MatthewsCorrelation",
    "PerObject",
    "Reduction",
    "SimpleTerm",
    "SkeletonRecall",
    "SoftJaccard",
    "Term",
    "TopKCrossEntropy",
    "Tversky",
    "WeightedCrossEntropy",
    "WeightedTerm",
    "family",
]

KNOWN_TERMS: Final[tuple[type[Term], ...]] = defined_in(families, Term)
"""The terms of lossweep's own, in the order of lists and sums."""


class ImportedLoss(Frozen):
    """A user's own loss, ``package.module:Name``: a class or a factory, called with ``parameters``."""

    term: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="keyword arguments the class or factory is called with"
    )

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {name: tidied(value) for name, value in parameters.items()}

    # Python holds True == 1 and dicts unhashable; parameters are compared as the JSON they are written in.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImportedLoss):
            return NotImplemented
        return (self.term, canonical_json(self.parameters)) == (other.term, canonical_json(other.parameters))

    def __hash__(self) -> int:
        return hash((self.term, canonical_json(self.parameters)))


def _simple_form(value: Any) -> str:
    name = value.get("term") if isinstance(value, dict) else getattr(value, "term", None)
    return "imported" if isinstance(name, str) and ":" in name else "known"


def _loss_form(value: Any) -> str:
    if isinstance(value, Compound) or (isinstance(value, dict) and "sum" in value and "term" not in value):
        return "compound"
    return _simple_form(value)


if TYPE_CHECKING:
    KnownTerm: TypeAlias = Term
else:
    KnownTerm = Annotated[Union[KNOWN_TERMS], Field(discriminator="term")]  # noqa: UP007 - of a tuple
SimpleTerm = Annotated[
    Annotated[KnownTerm, Tag("known")] | Annotated[ImportedLoss, Tag("imported")], Discriminator(_simple_form)
]


class WeightedTerm(Frozen):
    """One part of a compound."""

    weight: Annotated[float | Ramp, Ramped(gt=0.0, from_zero=True)] = Field(
        default=1.0, description="what this term's value is multiplied with"
    )
    loss: SimpleTerm


class Compound(Frozen):
    """A weighted sum of terms that share one softmax.

    Its terms stand in one order, whatever order they were written in.
    """

    term: ClassVar[str] = "sum"
    sum: Annotated[tuple[WeightedTerm, ...], Field(min_length=2)]

    @field_validator("sum")
    @classmethod
    def _ordered(cls, parts: tuple[WeightedTerm, ...]) -> tuple[WeightedTerm, ...]:
        if len({part.loss for part in parts}) < len(parts):
            raise refused("the same term stands in the sum twice", hint="add up their weights")
        return tuple(sorted(parts, key=_place))


def _place(part: WeightedTerm) -> tuple[float, str]:
    place = part.loss.place if isinstance(part.loss, Term) else math.inf
    return place, canonical_json(part.model_dump(mode="json"))


Loss = Annotated[
    Annotated[KnownTerm, Tag("known")]
    | Annotated[ImportedLoss, Tag("imported")]
    | Annotated[Compound, Tag("compound")],
    Discriminator(_loss_form),
]
"""Any loss a phase may train with."""


def imported_terms(loss: Loss) -> tuple[ImportedLoss, ...]:
    """The user's own losses in a loss."""
    terms = [part.loss for part in loss.sum] if isinstance(loss, Compound) else [loss]
    return tuple(term for term in terms if isinstance(term, ImportedLoss))


def family(loss: Loss) -> str:
    """The loss without its parameters: ``focal``, ``cross_entropy+dice``, ``per_object(dice)``, a path.

    The one spelling of it, wherever losses are grouped or named.
    """
    if isinstance(loss, Compound):
        return "+".join(family(part.loss) for part in loss.sum)
    return f"{loss.term}({family(loss.loss)})" if isinstance(loss, PerObject) else loss.term
