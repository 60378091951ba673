"""From a loss as data to the module that computes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.discovery import modules_in
from lossweep.spaces.losses.ramp import fixed, ramps, settled
from lossweep.spaces.losses.terms import Compound, Loss, WeightedTerm
from lossweep.trainers.losses import families
from lossweep.trainers.losses.ramps import Ramps
from lossweep.trainers.losses.segmentation_loss import SegmentationLoss
from lossweep.trainers.losses.term import build_term
from lossweep.trainers.maps.known import KNOWN_MAPS

FAMILIES: Final = modules_in(families)
"""Imported here: what builds each term is registered by then."""


def build_loss(loss: Loss, prior: ClassPrior) -> SegmentationLoss:
    """Build any loss a phase may train with.

    Its ramps stand where they begin; `SegmentationLoss.along` moves them.

    Args:
        loss: a term, an imported loss, or a compound.
        prior: the classes and their frequencies; two classes mean one logit channel.

    Raises:
        UserError: class weights that do not fit the classes, or a user's loss that can't be built.
    """
    parts = loss.sum if isinstance(loss, Compound) else (WeightedTerm(loss=loss),)
    first = [settled(part, 0.0) for part in parts]
    terms = [(part.loss.term, fixed(part.weight), build_term(part.loss, prior)) for part in first]
    return SegmentationLoss(terms, prior.channels, Ramps(parts, prior) if any(ramps(parts)) else None)


def maps_needed(losses: Iterable[Loss], prior: ClassPrior) -> tuple[str, ...]:
    """Return which maps of `trainers.maps` any of the losses asks for.

    Args:
        losses: those that a sweep may train with.
        prior: the classes and their frequencies.

    Raises:
        UserError: as `build_loss`.
    """
    asked = {name for loss in losses for name in build_loss(loss, prior).maps}
    return tuple(name for name in KNOWN_MAPS if name in asked)
