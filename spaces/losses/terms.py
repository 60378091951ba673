"""Loss terms as data: which losses there are, their parameters and ranges. `trainers.losses` builds them."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
)

from lossweep.spaces.files.canonical import canonical_json
from lossweep.spaces.files.errors import refused

Reduction = Literal["batch", "image"]
"""Region losses: one ratio over the whole batch, or the mean of one ratio an image."""


class Frozen(BaseModel):
    """Immutable, comparable, hashable data that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FrequencyWeights(Frozen):
    """Weights (1/f)^power from the classes' training frequencies f, the commonest class at 1, capped."""

    power: float = Field(
        ge=0.0, le=2.0, description="0 weighs all classes alike, 1 by their inverse frequency"
    )
    cap: float = Field(default=1000.0, ge=1.0, description="the largest weight a class can get")


class EffectiveNumberWeights(Frozen):
    """Weights from the effective number of samples (Cui et al., CVPR 2019), the commonest at 1, capped."""

    beta: float = Field(
        ge=0.0, lt=1.0, description="0 weighs all classes alike, towards 1 by their inverse frequency"
    )
    cap: float = Field(default=1000.0, ge=1.0, description="the largest weight a class can get")


def _weights_form(value: Any) -> str:
    if isinstance(value, dict):
        return "effective_number" if "beta" in value else "frequency"
    if isinstance(value, FrequencyWeights):
        return "frequency"
    return "effective_number" if isinstance(value, EffectiveNumberWeights) else "given"


GivenWeights = Annotated[tuple[Annotated[float, Field(ge=0.0)], ...], Field(min_length=2)]
"""One weight a class, background first."""

ClassWeights = Annotated[
    Annotated[GivenWeights, Tag("given")]
    | Annotated[FrequencyWeights, Tag("frequency")]
    | Annotated[EffectiveNumberWeights, Tag("effective_number")],
    Discriminator(_weights_form),
]
"""Given one a class (background first), or how to compute them from the training masks."""


def _some_weight(weights: Any) -> Any:
    if isinstance(weights, tuple) and not any(weights):
        raise refused("at least one class must weigh more than nothing")
    return weights


class Term(Frozen):
    """A named loss. Its docstring says what it is, its class variables the source and the use.

    Attributes:
        formula: the loss in symbols; p is the predicted probability, y the mask (0 or 1), sums run over
            labelled pixels.
        source: the paper or library it is defined in.
        when: when to reach for it.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    when: ClassVar[str]

    @model_serializer(mode="wrap")
    def _named(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A term keeps its name, also where defaults are left out.
        return {"term": getattr(self, "term", None), **handler(self)}


class CrossEntropy(Term):
    """Cross-entropy: the mean over labelled pixels (sigmoid for two classes, softmax for more)."""

    formula = "-mean(log p[y])"
    source = "torch.nn.functional.cross_entropy, binary_cross_entropy_with_logits"
    when = "the baseline every other loss has to beat, with a tuned threshold; steady at any learning rate"

    term: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="share of the target spread evenly over all classes"
    )


class WeightedCrossEntropy(Term):
    """Cross-entropy weighted by class, divided by the sum of the weights as in torch."""

    formula = "-sum(w[y] log p[y]) / sum(w[y])"
    source = "torch.nn.functional.cross_entropy(weight=...); effective number: Cui et al., CVPR 2019"
    when = "rare classes: drives recall up at threshold 0.5; a good first phase"

    term: Literal["weighted_ce"] = "weighted_ce"
    weights: ClassWeights = Field(
        description="one a class (background first), {power: p} for (1/f)^p, or {beta: b}: effective number"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="share of the target spread evenly over all classes"
    )

    _weights = field_validator("weights")(_some_weight)


class Focal(Term):
    """Focal loss (Lin et al., ICCV 2017), softmax form for more than two classes."""

    formula = "-mean(a[y] (1 - p[y])^gamma log p[y])"
    source = "Lin et al., Focal Loss for Dense Object Detection, ICCV 2017"
    when = "many easy pixels drown the hard ones; can beat cross-entropy and diverges when badly set"

    term: Literal["focal"] = "focal"
    gamma: float = Field(
        default=2.0, ge=0.0, le=5.0, description="how much easy pixels are discounted; 0 is cross-entropy"
    )
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        default=None, description="weight of the foreground; the background weighs 1 - alpha"
    )
    weights: ClassWeights | None = Field(
        default=None, description="class weights as in weighted_ce; usually instead of alpha"
    )

    _weights = field_validator("weights")(_some_weight)


_SMOOTH: Final = "added to both sides of the ratio; larger is gentler on tiny objects and empty tiles"
_REDUCTION: Final = "one ratio over the whole batch, or the mean of one ratio an image"


class Jaccard(Term):
    """Soft Jaccard distance, 1 - |A and B| / |A or B|."""

    formula = "1 - (sum(p y) + s) / (sum(p) + sum(y) - sum(p y) + s)"
    source = "Rahman and Wang, Optimizing Intersection-Over-Union, ISVC 2016"
    when = "refinement at a small learning rate: optimizes overlap itself, balances precision and recall"

    term: Literal["jaccard"] = "jaccard"
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class Dice(Term):
    """Soft Dice distance, 1 - 2 |A and B| / (|A| + |B|)."""

    formula = "1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)"
    source = "Milletari et al., V-Net, 3DV 2016"
    when = "refinement, or summed with cross-entropy as a sturdy default"

    term: Literal["dice"] = "dice"
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


_ALPHA: Final = "weight of false positives; raise it for precision"
_BETA: Final = "weight of false negatives; raise it for recall"


class Tversky(Term):
    """Tversky distance (Salehi et al., 2017): ``alpha`` weighs false positives, ``beta`` false negatives."""

    formula = "(alpha FP + beta FN) / (TP + alpha FP + beta FN + s)"
    source = "Salehi et al., Tversky loss function for image segmentation, MLMI 2017"
    when = "to trade precision against recall within a region loss; alpha = beta = 0.5 is Dice, 1 is Jaccard"

    term: Literal["tversky"] = "tversky"
    alpha: float = Field(default=0.3, ge=0.0, le=2.0, description=_ALPHA)
    beta: float = Field(default=0.7, ge=0.0, le=2.0, description=_BETA)
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class FocalTversky(Term):
    """Tversky distance to the power ``gamma`` (Abraham and Khan, ISBI 2019, whose gamma is 1/this)."""

    formula = "((alpha FP + beta FN) / (TP + alpha FP + beta FN + s))^gamma"
    source = "Abraham and Khan, A Novel Focal Tversky Loss Function, ISBI 2019"
    when = "small objects that Tversky finds late"

    term: Literal["focal_tversky"] = "focal_tversky"
    alpha: float = Field(default=0.3, ge=0.0, le=2.0, description=_ALPHA)
    beta: float = Field(default=0.7, ge=0.0, le=2.0, description=_BETA)
    gamma: float = Field(
        default=0.75, gt=0.0, le=3.0, description="below 1 keeps pushing when the overlap is already good"
    )
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class Lovasz(Term):
    """Lovasz extension of the Jaccard distance (Berman et al., CVPR 2018)."""

    formula = "Lovasz extension of 1 - |A and B| / |A or B| over the sorted errors"
    source = "Berman et al., The Lovasz-Softmax loss, CVPR 2018"
    when = "refinement that optimizes the Jaccard index itself; sorts all pixels, so it costs the most"

    term: Literal["lovasz"] = "lovasz"
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class MatthewsCorrelation(Term):
    """1 - soft Matthews correlation coefficient (Abhishek and Hamarneh, ISBI 2021)."""

    formula = "1 - (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))"
    source = "Abhishek and Hamarneh, Matthews Correlation Coefficient Loss, ISBI 2021"
    when = "strong imbalance where true negatives should count as well"

    term: Literal["mcc"] = "mcc"
    smooth: float = Field(default=1.0, gt=0.0, description="pixels added to each of TP, TN, FP and FN")


def _tidy(value: JsonValue) -> JsonValue:
    """Write whole floats as ints, so that 3 and 3.0 are the same; refuse numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _tidy(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_tidy(each) for each in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise refused("a number must be finite", found=str(value))
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


class ImportedLoss(Frozen):
    """A user's own loss, ``package.module:Name``: a class or a factory, called with ``parameters``."""

    term: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="keyword arguments the class or factory is called with"
    )

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {name: _tidy(value) for name, value in parameters.items()}

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


KnownTerm = Annotated[
    CrossEntropy
    | WeightedCrossEntropy
    | Focal
    | Jaccard
    | Dice
    | Tversky
    | FocalTversky
    | Lovasz
    | MatthewsCorrelation,
    Field(discriminator="term"),
]
KNOWN_TERMS: Final[tuple[type[Term], ...]] = (
    CrossEntropy,
    WeightedCrossEntropy,
    Focal,
    Jaccard,
    Dice,
    Tversky,
    FocalTversky,
    Lovasz,
    MatthewsCorrelation,
)
SimpleTerm = Annotated[
    Annotated[KnownTerm, Tag("known")] | Annotated[ImportedLoss, Tag("imported")], Discriminator(_simple_form)
]


class WeightedTerm(Frozen):
    """One part of a compound."""

    weight: float = Field(default=1.0, gt=0.0, description="what this term's value is multiplied with")
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


def _place(part: WeightedTerm) -> tuple[int, str]:
    kinds: tuple[type[Frozen], ...] = (*KNOWN_TERMS, ImportedLoss)
    return kinds.index(type(part.loss)), canonical_json(part.model_dump(mode="json"))


Loss = Annotated[
    Annotated[KnownTerm, Tag("known")]
    | Annotated[ImportedLoss, Tag("imported")]
    | Annotated[Compound, Tag("compound")],
    Discriminator(_loss_form),
]
"""Any loss a phase may train with."""


def family(loss: Loss) -> str:
    """The loss in one word: ``focal``, ``cross_entropy_dice`` for a sum, the name of an imported one."""
    if isinstance(loss, Compound):
        return "_".join(family(part.loss) for part in loss.sum)
    return loss.term.partition(":")[2] or loss.term
