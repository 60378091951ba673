"""Trained weights as safetensors, and beside them a model card: what they are and how they are used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossweep.search.exporting.card import file_card
from lossweep.search.exporting.operating import TrainedWeights
from lossweep.spaces.schedules.schedule_file import ScheduleFile

if TYPE_CHECKING:
    from lossweep.trainers.inference.spec import SegmenterSpec


def write_weights(path: Path, weights: TrainedWeights, exported: ScheduleFile) -> Path:
    """Write weights as safetensors, and their model card beside them.

    Args:
        path: ends in ``.safetensors``.
        weights: with the data they were trained on.
        exported: their schedule with its threshold and provenance.

    Returns:
        The path of the card.
    """
    from safetensors.torch import save_file

    from lossweep.trainers.inference.model_files import metadata

    tensors = {name: tensor.contiguous().clone() for name, tensor in weights.model.state_dict().items()}
    said = {
        "format": "pt",
        "threshold": repr(exported.logit_threshold),
        "classes": ",".join(exported.classes or ()),
        "schedule": str(exported.schedule),
        **metadata(segmenter_spec(weights, exported)),
    }
    save_file(tensors, path, metadata=said)
    card = card_of(path)
    card.write_text(file_card(path.name, weights, exported), encoding="utf-8")
    return card


def segmenter_spec(weights: TrainedWeights, exported: ScheduleFile) -> SegmenterSpec:
    """Return what exported weights are, beside themselves: all that predicting with them takes."""
    from lossweep.trainers.inference.segmenter import spec_of

    told = exported.provenance
    kept: dict[str, Any] = {key: told[key] for key in ("sweep", "trial", "seed", "lossweep") if key in told}
    return spec_of(
        weights.plan.model,
        weights.plan.training,
        weights.data,
        exported.logit_threshold or 0.0,
        told.get("threshold_of", ""),
        {**kept, "schedule": str(exported.schedule), "epoch": weights.scored.epoch},
    )


def card_of(path: Path) -> Path:
    """Where the card of a file of weights lies."""
    return path.with_suffix(".md")
