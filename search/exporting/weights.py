"""Trained weights as safetensors, and beside them a model card: what they are and how they are used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lossweep.search.exporting.operating import TrainedWeights
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.plan import ModelSpec

if TYPE_CHECKING:
    from lossweep.trainers.inference.spec import SegmenterSpec

_CARD: Final = """\
# {title}

Weights of an image segmentation model: `{file}`.

| | |
| --- | --- |
| model | {model} |
| input | {bands} bands, each normalized: {normalization} |
| classes | {classes} |
| threshold | {threshold} |
| trained with | `{schedule}` |
| data | {data} |
| from | sweep {sweep}, trial {trial}, seed {seed}, lossweep {version} |

## Scores

Validation, at the evaluation that the weights are of (epoch {epoch}):

{scores}

{verdict}

## How to load it

```python
{loading}
```

## Licence

To be filled in: the licence of the weights is yours to choose, within what the licences of the training data
and of any pretrained encoder allow.
"""


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
    card.write_text(model_card(path.name, weights, exported), encoding="utf-8")
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


def model_card(file: str, weights: TrainedWeights, exported: ScheduleFile) -> str:
    """Return the card: what, trained on what, classes, threshold, scores, verdict, how to load, licence."""
    told, data, model = exported.provenance, weights.data, weights.plan.model
    mean, std = data.val.normalization.mean, data.val.normalization.std
    return _CARD.format(
        title=f"{model.architecture} for {', '.join(data.prior.names[1:])}",
        file=file,
        model=_model_words(model),
        bands=data.channels,
        normalization=f"(x - mean) / std, mean {_numbers(mean)}, std {_numbers(std)}",
        classes=", ".join(data.prior.names),
        threshold=_threshold_words(exported),
        schedule=exported.schedule,
        data=told["data"],
        sweep=told["sweep"],
        trial=told["trial"],
        seed=told["seed"],
        version=told["lossweep"],
        epoch=weights.scored.epoch,
        scores=_table(told["scores"]),
        verdict=_verdict_words(told),
        loading=_loading(file, model, data.channels, exported),
    )


def _model_words(model: ModelSpec) -> str:
    if ":" in model.architecture:
        return f"`{model.architecture}`"
    pretrained = f"encoder weights before training: {model.weights}" if model.weights else "from scratch"
    return f"{model.architecture} of segmentation-models-pytorch, encoder {model.encoder}, {pretrained}"


def _threshold_words(exported: ScheduleFile) -> str:
    if len(exported.classes or ()) > 2:
        return "none: the likeliest class is predicted"
    rule = exported.provenance["threshold_of"]
    return f"{exported.logit_threshold:.6g} on logits, {exported.threshold:.6g} as a probability ({rule})"


def _table(scores: dict[str, float]) -> str:
    rows = [f"| {name} | {value:.4f} |" for name, value in scores.items()]
    return "\n".join(["| metric | value |", "| --- | --- |", *rows])


def _verdict_words(told: dict[str, Any]) -> str:
    if "verdict" not in told:
        return "The schedule is unconfirmed: it was chosen by this one seed's validation score."
    words = [told["verdict"]["sentence"]]
    if (own := told.get("confirmed")) is not None:
        spread = f" ± {own['deviation']:.3f}" if "deviation" in own else ""
        words.append(
            f"Trained {own['n']} times with fresh seeds, this schedule has {own['metric']} "
            f"{own['mean']:.3f}{spread} on the test split."
        )
    return " ".join(words)


def _loading(file: str, model: ModelSpec, bands: int, exported: ScheduleFile) -> str:
    several = len(exported.classes or ()) > 2
    logits = len(exported.classes or ()) if several else 1
    options = "".join(f", {name}={value!r}" for name, value in model.options.items())
    if ":" in model.architecture:
        module, _, factory = model.architecture.partition(":")
        lines = [f"from {module} import {factory}"]
        build = f"{factory}(in_channels={bands}, classes={logits}{options})"
    else:
        lines = ["import segmentation_models_pytorch as smp"]
        named = f"{model.architecture!r}, encoder_name={model.encoder!r}, encoder_weights=None"
        build = f"smp.create_model({named}, in_channels={bands}, classes={logits}{options})"
    foreground = f"[:, 0] >= {exported.logit_threshold!r}"
    predict = ".argmax(dim=1)  # class indices" if several else f"{foreground}  # true where foreground"
    return "\n".join(
        [
            *lines,
            "from safetensors.torch import load_file",
            "",
            f"model = {build}",
            f"model.load_state_dict(load_file({file!r}))",
            "model.eval()",
            f"mask = model(images){predict}",
        ]
    )


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
