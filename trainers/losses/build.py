"""From a loss as data to the module that computes it."""

from __future__ import annotations

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import (
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    ImportedLoss,
    Jaccard,
    Loss,
    Lovasz,
    MatthewsCorrelation,
    SimpleTerm,
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.trainers.losses.class_weights import class_weights
from lossweep.trainers.losses.correlation import MatthewsTerm
from lossweep.trainers.losses.cross_entropy import CrossEntropyTerm
from lossweep.trainers.losses.focal import FocalTerm
from lossweep.trainers.losses.imported import build_imported
from lossweep.trainers.losses.lovasz import LovaszTerm
from lossweep.trainers.losses.regions import RegionTerm
from lossweep.trainers.losses.segmentation_loss import SegmentationLoss, Term


def build_loss(loss: Loss, prior: ClassPrior) -> SegmentationLoss:
    """Build any loss a phase may train with.

    Args:
        loss: a term, an imported loss, or a compound.
        prior: the classes and their frequencies; two classes mean one logit channel.

    Raises:
        UserError: class weights that do not fit the classes, or a user's loss that can't be built.
    """
    parts = loss.sum if isinstance(loss, Compound) else (WeightedTerm(loss=loss),)
    terms = [(part.loss.term, part.weight, _term(part.loss, prior)) for part in parts]
    return SegmentationLoss(terms, prior.channels)


def _term(loss: SimpleTerm, prior: ClassPrior) -> Term:
    classes = len(prior.names)
    match loss:
        case CrossEntropy():
            return CrossEntropyTerm(classes, None, loss.label_smoothing)
        case WeightedCrossEntropy():
            return CrossEntropyTerm(classes, class_weights(loss.weights, prior), loss.label_smoothing)
        case Focal():
            weights = None if loss.weights is None else class_weights(loss.weights, prior)
            return FocalTerm(classes, loss.gamma, loss.alpha, weights)
        case Jaccard():
            return RegionTerm(1.0, 1.0, loss.smooth, loss.reduction)
        case Dice():
            return RegionTerm(0.5, 0.5, 0.5 * loss.smooth, loss.reduction)
        case Tversky():
            return RegionTerm(loss.alpha, loss.beta, loss.smooth, loss.reduction)
        case FocalTversky():
            return RegionTerm(loss.alpha, loss.beta, loss.smooth, loss.reduction, loss.gamma)
        case Lovasz():
            return LovaszTerm(classes, loss.reduction)
        case MatthewsCorrelation():
            return MatthewsTerm(loss.smooth)
        case ImportedLoss():
            return build_imported(loss)
