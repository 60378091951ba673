"""What an evaluation measures: pixel curves from a histogram of logits, objects from connected components."""

from lossweep.trainers.metrics.meter import Measured, Meter

__all__ = ["Measured", "Meter"]
