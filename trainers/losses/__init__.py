"""The losses a schedule trains with (docs/losses.md says how each behaves, and why)."""

from trainers.losses.build import build_loss
from trainers.losses.class_weights import class_weights
from trainers.losses.imported import check_importable
from trainers.losses.rehearsal import rehearse
from trainers.losses.segmentation_loss import SegmentationLoss

__all__ = ["SegmentationLoss", "build_loss", "check_importable", "class_weights", "rehearse"]
