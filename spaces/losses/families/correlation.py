"""The Matthews correlation coefficient as a loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lossweep.spaces.losses.term import Term


class MatthewsCorrelation(Term):
    """1 - soft Matthews correlation coefficient (Abhishek and Hamarneh, ISBI 2021)."""

    place = 9
    formula = "1 - MCC of the soft confusion matrix, s added to each of its four cells"
    source = "Abhishek and Hamarneh, Matthews Correlation Coefficient Loss, ISBI 2021"
    when = "strong imbalance where true negatives should count as well"
    short_name = "MCC"
    color = "#332288"

    term: Literal["mcc"] = "mcc"
    smooth: float = Field(default=1.0, gt=0.0, description="pixels added to each of TP, TN, FP and FN")
