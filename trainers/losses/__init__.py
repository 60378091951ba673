"""The losses a schedule trains with (docs/losses.md says how each behaves, and why)."""

from lossweep.trainers.losses.build import build_loss, maps_needed
from lossweep.trainers.losses.class_weights import class_weights
from lossweep.trainers.losses.families.imported import check_importable
from lossweep.trainers.losses.ramps import RampedSteps
from lossweep.trainers.losses.rehearsal import rehearse
from lossweep.trainers.losses.segmentation_loss import SegmentationLoss

__all__ = [
    "RampedSteps",
    "SegmentationLoss",
    "build_loss",
    "check_importable",
    "class_weights",
    "maps_needed",
    "rehearse",
]
