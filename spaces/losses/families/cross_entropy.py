"""Cross-entropy, plain and weighted by class."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from lossweep.spaces.losses.class_weights import ClassWeights, some_weight
from lossweep.spaces.losses.term import Term


class CrossEntropy(Term):
    """Cross-entropy: the mean over labelled pixels (sigmoid for two classes, softmax for more)."""

    place = 1
    formula = "mean of -log p[t]"
    source = "torch.nn.functional.cross_entropy, binary_cross_entropy_with_logits"
    when = "the baseline every other loss has to beat, with a tuned threshold; steady at any learning rate"
    short_name = "CE"
    color = "#5c677d"

    term: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="share of the target spread evenly over all classes"
    )


class WeightedCrossEntropy(Term):
    """Cross-entropy weighted by class, divided by the sum of the weights as in torch."""

    place = 2
    formula = "sum -w[t] log p[t] / sum w[t]"
    source = "torch.nn.functional.cross_entropy(weight=...); effective number: Cui et al., CVPR 2019"
    when = "rare classes: drives recall up at threshold 0.5; a good first phase"
    short_name = "wCE"
    color = "#e69f00"

    term: Literal["weighted_ce"] = "weighted_ce"
    weights: ClassWeights = Field(
        description="one a class (background first), {power: p} for (1/f)^p, or {beta: b}: effective number"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="share of the target spread evenly over all classes"
    )

    _weights = field_validator("weights")(some_weight)
