"""Loss terms as data: which losses there are, their parameters and ranges. `trainers.losses` builds them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Reduction = Literal["batch", "image"]
"""Region losses: one ratio over the whole batch, or the mean of one ratio an image."""


class Frozen(BaseModel):
    """Immutable, comparable, hashable data that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FrequencyWeights(Frozen):
    """Weights (1/f)^power from the classes' training frequencies f, the commonest class at 1, capped."""

    power: float = Field(ge=0.0, le=2.0)
    cap: float = Field(default=1000.0, ge=1.0)


class EffectiveNumberWeights(Frozen):
    """Weights from the effective number of samples (Cui et al., CVPR 2019), the commonest class at 1, capped."""

    beta: float = Field(ge=0.0, lt=1.0)
    cap: float = Field(default=1000.0, ge=1.0)


ClassWeights = tuple[Annotated[float, Field(ge=0.0)], ...] | FrequencyWeights | EffectiveNumberWeights
"""Given one a class (background first), or how to compute them from the training masks."""


class CrossEntropy(Frozen):
    """Cross-entropy: the mean over labelled pixels (sigmoid for two classes, softmax for more)."""

    term: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)


class WeightedCrossEntropy(Frozen):
    """Cross-entropy weighted by class, divided by the sum of the weights as in torch."""

    term: Literal["weighted_ce"] = "weighted_ce"
    weights: ClassWeights
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)


class Focal(Frozen):
    """Focal loss (Lin et al., ICCV 2017), softmax form for more than two classes."""

    term: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0.0, le=5.0)
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    weights: ClassWeights | None = None


class Jaccard(Frozen):
    """Soft Jaccard distance, 1 - |A and B| / |A or B|."""

    term: Literal["jaccard"] = "jaccard"
    smooth: float = Field(default=1.0, gt=0.0)
    reduction: Reduction = "batch"


class Dice(Frozen):
    """Soft Dice distance, 1 - 2 |A and B| / (|A| + |B|)."""

    term: Literal["dice"] = "dice"
    smooth: float = Field(default=1.0, gt=0.0)
    reduction: Reduction = "batch"


class Tversky(Frozen):
    """Tversky distance (Salehi et al., 2017): ``alpha`` weighs false positives, ``beta`` false negatives."""

    term: Literal["tversky"] = "tversky"
    alpha: float = Field(default=0.3, ge=0.0, le=2.0)
    beta: float = Field(default=0.7, ge=0.0, le=2.0)
    smooth: float = Field(default=1.0, gt=0.0)
    reduction: Reduction = "batch"


class FocalTversky(Frozen):
    """Tversky distance to the power ``gamma`` (Abraham and Khan, ISBI 2019, whose gamma is 1/this)."""

    term: Literal["focal_tversky"] = "focal_tversky"
    alpha: float = Field(default=0.3, ge=0.0, le=2.0)
    beta: float = Field(default=0.7, ge=0.0, le=2.0)
    gamma: float = Field(default=0.75, gt=0.0, le=3.0)
    smooth: float = Field(default=1.0, gt=0.0)
    reduction: Reduction = "batch"


class Lovasz(Frozen):
    """Lovasz extension of the Jaccard distance (Berman et al., CVPR 2018)."""

    term: Literal["lovasz"] = "lovasz"
    reduction: Reduction = "batch"


class MatthewsCorrelation(Frozen):
    """1 - soft Matthews correlation coefficient (Abhishek and Hamarneh, ISBI 2021)."""

    term: Literal["mcc"] = "mcc"
    smooth: float = Field(default=1.0, gt=0.0)


class ImportedLoss(Frozen):
    """A user's own loss, ``package.module:Name``: an ``nn.Module`` class or a factory called with ``parameters``."""

    term: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    parameters: dict[str, Any] = Field(default_factory=dict)


class WeightedTerm(Frozen):
    """One part of a compound."""

    weight: float = Field(default=1.0, gt=0.0)
    loss: "SimpleTerm"


class Compound(Frozen):
    """A weighted sum of terms that share one softmax."""

    term: ClassVar[str] = "sum"
    sum: Annotated[tuple[WeightedTerm, ...], Field(min_length=2)]


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
SimpleTerm = KnownTerm | ImportedLoss
Loss = SimpleTerm | Compound
"""Any loss a phase may train with."""

WeightedTerm.model_rebuild()
