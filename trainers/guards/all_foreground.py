"""Ends a trial that predicts everything as one foreground class."""

from __future__ import annotations

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.base_rate import near
from lossweep.trainers.guards.collapse import Collapse
from lossweep.trainers.guards.rule import Evidence
from lossweep.trainers.guards.spec import AllForegroundSpec


class AllForeground(Collapse):
    """A class's recall is near 1 and its precision near its base rate, confirmed by AP."""

    name = "all_foreground"

    def __init__(self, spec: AllForegroundSpec, prior: ClassPrior) -> None:
        super().__init__(spec, prior)
        self._spec = spec
        self._suffixed = {
            ("" if prior.is_binary else f"/{name}"): share
            for name, share in zip(prior.names[1:], prior.frequencies[1:], strict=True)
        }

    def _sign(self, evaluation: Evaluation) -> Evidence | None:
        for suffix, share in self._suffixed.items():
            recall, precision = (evaluation.metrics[f"{name}{suffix}"] for name in ("recall", "precision"))
            if recall >= self._spec.recall and near(precision, share, self._spec):
                of_class = f" of class {suffix[1:]}" if suffix else ""
                return Evidence(
                    f"everything is predicted as foreground: recall{of_class} {recall:.4g} "
                    f"at precision {precision:.4g}",
                    {"recall": recall, "precision": precision},
                )
        return None
