"""The model of a trial: by its name or import path, its first prediction the class frequencies."""

from lossweep.trainers.models.building import build_model, raw_model

__all__ = ["build_model", "raw_model"]
