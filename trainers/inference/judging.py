"""A model judged on a split of some data: every figure, and the images that it gets most wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.crops.whole_images import whole_batches
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.data.spec import SplitName
from lossweep.trainers.inference.pictures import misfit
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.loop.measurement import Measurer
from lossweep.trainers.loop.passes import predicted
from lossweep.trainers.metrics import Measured
from lossweep.trainers.plan import MeasureSpec


@dataclass(frozen=True, slots=True)
class WrongImage:
    """An image of a split, and what the model makes of it.

    Attributes:
        name: of the image.
        image: (height, width, bands), normalized.
        mask: (height, width) class indices, 255 ignored.
        prediction: likewise, without ignored ones.
    """

    name: str
    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model is worth on a split.

    Attributes:
        split: which.
        images: how many there are.
        fingerprint: of the data.
        measured: every figure; ``tuned_`` ones are at ``thresholds``.
        thresholds: on logits, one a foreground class.
        rule: where these come from.
        wrong: the images with most wrong pixels, the worst first.
    """

    split: SplitName
    images: int
    fingerprint: str
    measured: Measured
    thresholds: tuple[float, ...]
    rule: str
    wrong: tuple[WrongImage, ...]

    def figures(self) -> Mapping[str, Any]:
        """Return plain JSON-ready data."""
        return {
            "split": self.split,
            "images": self.images,
            "data": self.fingerprint,
            "thresholds": list(self.thresholds),
            "threshold_of": self.rule,
            "metrics": dict(self.measured.metrics),
            "object_sizes": {name: list(two) for name, two in self.measured.object_sizes.items()},
        }


def judged(
    segmenter: Segmenter, data: SegmentationData, measure: MeasureSpec, split: SplitName, most: int = 6
) -> Judged:
    """Judge a model, in the precision that it computes in.

    Two classes: the ``tuned_`` figures are at the model's own threshold, on either split. More: at each
    class's threshold of the highest validation F1, so that none is chosen on the test split.

    Args:
        segmenter: the model.
        data: of the same classes; normalized as the model's training data were.
        measure: object rules, floors and betas.
        split: ``val`` or ``test``.
        most: how many images to show.

    Raises:
        UserError: the data have other classes, bands or depth, or no image in this split.
    """
    spec = segmenter.spec
    _check(segmenter, data, split)
    shown: Split = getattr(data, split).normalized_by(spec.normalization)
    measurer = Measurer(data.prior, measure, segmenter.numerics, segmenter.pass_size)
    thresholds: tuple[float, ...] = (spec.threshold,)
    rule = spec.rule or "the model's own"
    if not spec.is_binary:
        on_validation = data.val.normalized_by(spec.normalization)
        thresholds = measurer.measured(segmenter.model, on_validation).thresholds
        rule = "each class's highest validation F1"
    measured = measurer.measured(segmenter.model, shown, thresholds, per_image=True)
    wrong = _wrong(segmenter, shown, measured, most)
    return Judged(split, len(shown), data.fingerprint, measured, thresholds, rule, wrong)


def _check(segmenter: Segmenter, data: SegmentationData, split: SplitName) -> None:
    problems, spec = list[Problem](), segmenter.spec
    if data.prior.names != spec.classes:
        found, allowed = ", ".join(data.prior.names), ", ".join(spec.classes)
        message = "the model knows other classes"
        problems.append(Problem(message, key="data.classes", found=found, allowed=allowed))
    if problem := misfit((data.channels, data.val.normalization.kind), spec.normalization):
        problems.append(problem)
    if not len(getattr(data, split)):
        problems.append(Problem(f"these data have no {split} split", key="--split", found=split))
    if problems:
        raise UserError(problems)


def _wrong(segmenter: Segmenter, split: Split, measured: Measured, most: int) -> tuple[WrongImage, ...]:
    """Predict once more the images with most falsely alarmed and missed pixels."""
    size = segmenter.pass_size
    in_order = [i for _, few in whole_batches(split.sizes, size.images, size.pixels) for i in few]
    errors = {
        index: sum(alarms + misses for _, alarms, misses in counts)
        for index, counts in zip(in_order, measured.image_pixels, strict=True)
    }
    chosen = sorted((index for index in errors if errors[index]), key=lambda i: (-errors[i], i))[:most]
    found: dict[int, WrongImage] = {}
    with segmenter.forward() as forward:
        for batch in split.evaluation_batches(size.images, segmenter.numerics.device, size.pixels):
            if not set(batch.indices) & set(chosen):
                continue
            logits = predicted(forward, batch.images, size).float().cpu().numpy()
            for place, index in enumerate(batch.indices):
                if index in chosen:
                    height, width = split.sizes[index]
                    inside = np.s_[:height, :width]
                    image = batch.images[place].permute(1, 2, 0)[inside].float().cpu().numpy()
                    found[index] = WrongImage(
                        split.names[index],
                        np.ascontiguousarray(image),
                        np.ascontiguousarray(batch.masks[place].cpu().numpy()[inside]),
                        segmenter.mask_of(logits[place][:, :height, :width]),
                    )
    return tuple(found[index] for index in chosen)
