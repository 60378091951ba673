"""A model measured on a split: every image once, one wait for the device."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.loop.memory import EvaluationTooLarge, Shortage, attempted
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.object_sizes import size_thirds
from lossweep.trainers.loop.passes import PassSize, predicted, predicting
from lossweep.trainers.metrics import Measured, Meter
from lossweep.trainers.metrics.summary import metric_names
from lossweep.trainers.metrics.truth import Truth
from lossweep.trainers.plan import MeasureSpec, TrainingSpec

log = logging.getLogger(__name__)

_TRUTHS: WeakKeyDictionary[Split, dict[tuple[int, int], Truth]] = WeakKeyDictionary()
"""By the number of classes and by what connects the pixels of an object, all that labels depend on."""


def evaluate_split(
    model: nn.Module,
    split: Split,
    prior: ClassPrior,
    measure: MeasureSpec,
    thresholds: float | Sequence[float] | None = None,
    *,
    training: TrainingSpec | None = None,
    device: torch.device | str | None = None,
    batch: int | None = None,
) -> Measured:
    """Measure a model on a whole split.

    Args:
        model: its weights are moved to the device; its mode (training or not) is put back.
        split: whole images in order, none augmented.
        prior: the classes.
        measure: object rules, floors and betas.
        thresholds: logit thresholds of the ``tuned_`` figures, one a foreground class, as validation gave
            them. Give them for the test split: None tunes them on the split itself, which is honest on
            validation only.
        training: whose precision and batch to use; the defaults of `TrainingSpec` when None.
        device: the GPU, when there is one, when None.
        batch: most images of one forward pass; ``training.batch`` when None. Large images take fewer, or
            windows of one (`trainers.loop.passes`).

    Returns:
        The metrics, and the thresholds used.
    """
    training = training or TrainingSpec()
    numerics = Numerics.of(training, device)
    size = PassSize.of(batch or training.batch, split.tile)
    return Measurer(prior, measure, numerics, size).measured(model, split, thresholds)


def check_metrics(wanted: Iterable[str], measure: MeasureSpec, prior: ClassPrior) -> None:
    """Check that evaluations will hold the metrics that a schedule waits for.

    Raises:
        UserError: with each that they will not hold.
    """
    names = metric_names(measure, objects=True)
    classes = prior.names[1:] if len(prior.names) > 2 else ()
    known = {*names, *(f"{name}/{each}" for name in names for each in classes)}
    problems = [
        Problem(
            f"a phase waits for {name}, which is not measured",
            key="until.metric",
            allowed=", ".join(names) + (f", each also with /{' or /'.join(classes)}" if classes else ""),
            hint="betas, precision_floors, recall_floors and own of measure add some",
        )
        for name in sorted(set(wanted) - known)
    ]
    if problems:
        raise UserError(problems)


class Measurer:
    """Measures splits, in passes that fit the memory: when one does not, smaller ones from then on.

    Args:
        prior: the classes.
        measure: object rules, floors and betas.
        numerics: device and precision.
        size: of a pass to begin with.
    """

    def __init__(self, prior: ClassPrior, measure: MeasureSpec, numerics: Numerics, size: PassSize) -> None:
        self._prior, self._measure = prior, measure
        self._numerics = numerics
        self._size = size

    def measured(
        self,
        model: nn.Module,
        split: Split,
        thresholds: float | Sequence[float] | None = None,
        per_image: bool = False,
    ) -> Measured:
        """Measure a model on a whole split; its weights are moved to the device, its mode is put back.

        Args:
            model: any.
            split: whole images in order.
            thresholds: as `evaluate_split` takes them.
            per_image: whether to count each image by itself, too.

        Raises:
            EvaluationTooLarge: the device has no memory for the smallest pass.
        """
        while True:
            found = attempted(lambda: self._measured_at(self._size, model, split, thresholds, per_image))
            if not isinstance(found, Shortage):
                return found
            smaller = self._size.halved(split.sizes)
            if smaller is None:
                raise EvaluationTooLarge(
                    f"no memory to evaluate the images of {split.name}, however few of their pixels a pass"
                    f" takes: {found.line}"
                )
            log.warning(
                "No memory for passes over %s (%s): going on with at most %d pixels in one.",
                split.name,
                found.line,
                smaller.pixels,
            )
            self._size = smaller

    def _measured_at(
        self,
        size: PassSize,
        model: nn.Module,
        split: Split,
        thresholds: float | Sequence[float] | None,
        per_image: bool,
    ) -> Measured:
        numerics = self._numerics
        model = numerics.place(model)
        thirds = size_thirds(split, self._prior, self._measure)
        truth = self._truth_of(split)
        meter = Meter(self._prior, self._measure, numerics.counting_device, thirds=thirds, truth=truth)
        where = numerics.counting_device
        with predicting(model, numerics) as forward:
            for batch in split.evaluation_batches(size.images, numerics.device, size.pixels):
                logits = predicted(forward, batch.images, size)
                meter.update(logits.to(where), batch.masks.to(where))
        return meter.compute(threshold=thresholds, per_image=per_image)

    def _truth_of(self, split: Split) -> Truth:
        """What this process knows of a split's masks: all its trials share it."""
        rules = len(self._prior.names), self._measure.connectivity
        known = _TRUTHS.setdefault(split, {})
        return known.setdefault(rules, Truth(len(self._prior.names) - 1, self._measure))
