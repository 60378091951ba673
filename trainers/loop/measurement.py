"""A model measured on a split: one pass, one wait for the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.metrics import Measured, Meter
from lossweep.trainers.metrics.summary import metric_names
from lossweep.trainers.plan import MeasureSpec, TrainingSpec


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
        batch: images of one forward pass; ``training.batch`` when None.

    Returns:
        The metrics, and the thresholds used.
    """
    training = training or TrainingSpec()
    numerics = Numerics.of(training, device)
    return measured(
        numerics.place(model), split, prior, measure, numerics, batch or training.batch, thresholds
    )


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


def measured(
    model: nn.Module,
    split: Split,
    prior: ClassPrior,
    measure: MeasureSpec,
    numerics: Numerics,
    batch: int,
    thresholds: float | Sequence[float] | None = None,
    per_image: bool = False,
) -> Measured:
    """`evaluate_split` for a model that is in place."""
    meter = Meter(prior, measure, numerics.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for images in split.evaluation_batches(batch, numerics.device):
                with numerics.autocast():
                    logits = model(numerics.lay_out(images.images))
                meter.update(logits, images.masks)
    finally:
        model.train(was_training)
    return meter.compute(threshold=thresholds, per_image=per_image)
