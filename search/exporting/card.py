"""The card of a model: what it is, what it scored and how sure that is, its limits, and how to load it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lossweep.search.exporting.operating import TrainedWeights
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.plan import ModelSpec

_CARD: Final = """\
# {title}

{about}

| | |
| --- | --- |
| model | {model} |
| input | {bands} bands, each normalized: {normalization} |
| classes | {classes} |
| threshold | {threshold} |
| trained with | `{schedule}` |
| data | {data} |
| from | {origin}, seed {seed}, lossweep {version} |

## Scores

Validation, at the evaluation that the weights are of (epoch {epoch}):

{scores}

{verdict}

## Limits

{limits}

## How to load it

```python
{loading}
```

## Licence

To be filled in: the licence of the weights is yours to choose, within what the licences of the training data
and of any pretrained encoder allow.
"""

_FRONT: Final = """\
---
{library}pipeline_tag: image-segmentation
tags: [semantic-segmentation, pytorch, lossweep]
---
"""
"""What the Hugging Face hub reads of a card; nothing is sent there."""

_WITH_PADDING: Final = """\
# images: a tensor (N, height, width, {bands}) of {kind}, with values as those of the training images
{scaling}x = (x * (1 / std) - mean / std).permute(0, 3, 1, 2)
x = torch.nn.functional.pad(x, (0, -x.shape[3] % {stride}, 0, -x.shape[2] % {stride}))
with torch.inference_mode():
    logits = model(x)[:, :, : images.shape[1], : images.shape[2]]
mask = logits{predict}"""
_SCALING: Final = """\
low, high = torch.tensor(said["normalization"]["ranges"]).T
x = (((torch.nan_to_num(images) - low) / (high - low)).clamp(0, 1) * 65535).round()
"""


def file_card(file: str, weights: TrainedWeights, exported: ScheduleFile) -> str:
    """Return the card of a file of weights, which lies beside it."""
    loading = _of_file(file, weights.plan.model, weights.data.channels, exported)
    return _card(f"Weights of an image segmentation model: `{file}`.", weights, exported, loading)


def folder_card(files: Mapping[str, str], weights: TrainedWeights, exported: ScheduleFile) -> str:
    """Return the card of a folder that holds a model.

    Args:
        files: what lies in it, by name.
        weights: with the data they were trained on.
        exported: their schedule with its threshold and provenance.
    """
    own = _is_own(weights.plan.model)
    about = "An image segmentation model. This folder holds:\n\n" + "\n".join(
        f"- `{name}`: {meaning}" for name, meaning in files.items()
    )
    front = _FRONT.format(library="" if own else "library_name: segmentation-models-pytorch\n")
    return front + _card(about, weights, exported, _of_folder(weights, exported))


def _card(about: str, weights: TrainedWeights, exported: ScheduleFile, loading: str) -> str:
    told, data, model = exported.provenance, weights.data, weights.plan.model
    mean, std = data.val.normalization.mean, data.val.normalization.std
    return _CARD.format(
        title=f"{model.architecture} for {', '.join(data.prior.names[1:])}",
        about=about,
        model=_model_words(model),
        bands=data.channels,
        normalization=f"(x - mean) / std, mean {_numbers(mean)}, std {_numbers(std)}",
        classes=", ".join(data.prior.names),
        threshold=_threshold_words(exported),
        schedule=exported.schedule,
        data=told["data"],
        origin=_origin(told),
        seed=told["seed"],
        version=told["lossweep"],
        epoch=weights.scored.epoch,
        scores=_table(told["scores"]),
        verdict=_verdict_words(told),
        limits="\n".join(f"- {limit}" for limit in _limits(weights, exported)),
        loading=loading,
    )


def _model_words(model: ModelSpec) -> str:
    if _is_own(model):
        return f"`{model.architecture}`"
    pretrained = f"encoder weights before training: {model.weights}" if model.weights else "from scratch"
    return f"{model.architecture} of segmentation-models-pytorch, encoder {model.encoder}, {pretrained}"


def _threshold_words(exported: ScheduleFile) -> str:
    if len(exported.classes or ()) > 2:
        return "none: the likeliest class is predicted"
    rule = exported.provenance["threshold_of"]
    return f"{exported.logit_threshold:.6g} on logits, {exported.threshold:.6g} as a probability ({rule})"


def _origin(told: Mapping[str, Any]) -> str:
    """Whose schedule it is, and by whom it was trained."""
    schedule = f"sweep {told['sweep']}, trial {told['trial']}" if "trial" in told else "no sweep"
    return f"the schedule of {schedule}, by lossweep train" if "trained_again" in told else schedule


def _table(scores: dict[str, float]) -> str:
    rows = [f"| {name} | {value:.4f} |" for name, value in scores.items()]
    return "\n".join(["| metric | value |", "| --- | --- |", *rows])


def _verdict_words(told: dict[str, Any]) -> str:
    """What the confirmation says, with the spread over its seeds of this schedule and of the control."""
    if "verdict" not in told:
        if "trial" not in told:
            return "The schedule is unconfirmed."
        by = "one" if "trained_again" in told else "this one"
        return f"The schedule is unconfirmed: it was chosen by {by} seed's validation score."
    sides = {"this schedule": told.get("confirmed"), "the control": told.get("against", {}).get("confirmed")}
    rows = [_spread(name, side) for name, side in sides.items() if side is not None]
    if not rows:
        return str(told["verdict"]["sentence"])
    metric = next(side["metric"] for side in sides.values() if side is not None)
    heads = [f"| test {metric}, fresh seeds | mean ± SD | seeds | each |", "| --- | --- | --- | --- |"]
    return "\n".join([told["verdict"]["sentence"], "", *heads, *rows])


def _spread(name: str, side: Mapping[str, Any]) -> str:
    deviation = f" ± {side['deviation']:.3f}" if "deviation" in side else ""
    each = ", ".join(f"{score:.3f}" for score in side["scores"])
    diverged = f" ({side['diverged']} diverged)" if side.get("diverged") else ""
    return f"| {name} | {side['mean']:.3f}{deviation} | {side['n']}{diverged} | {each} |"


def _limits(weights: TrainedWeights, exported: ScheduleFile) -> Iterator[str]:
    """What the figures above do not say anything of."""
    told, data = exported.provenance, weights.data
    kind = data.val.normalization.kind
    values = "with values as those of the training images"
    yield f"Images must have {data.channels} bands of {kind}, {values}."
    yield (
        f"It was trained on crops of {data.val.tile} x {data.val.tile} pixels. On objects of other sizes in "
        "pixels, and on images of another place, sensor or season, it has not been measured."
    )
    if len(exported.classes or ()) == 2:
        yield (
            "The threshold was chosen on validation: where foreground is rarer or more common than there, "
            "another may be right."
        )
    if "trained_again" in told:
        yield f"The model was {told['trained_again']}."
    if (verdict := told.get("verdict")) is None:
        yield "Nothing says that another training by this schedule comes out as well: confirm it first."
        return
    yield (
        f"The verdict is of {len(data.test)} test images and {verdict['seeds']} seeds; "
        f"a difference of {verdict['margin']:g} counts as none."
    )
    if verdict["reads_before"]:
        before = f"{verdict['reads_before']} times before"
        yield f"The test split had been read {before}, by an earlier confirmation."


def _of_file(file: str, model: ModelSpec, bands: int, exported: ScheduleFile) -> str:
    logits = len(exported.classes or ()) if _several(exported) else 1
    options = "".join(f", {name}={value!r}" for name, value in model.options.items())
    if _is_own(model):
        module, _, factory = model.architecture.partition(":")
        lines = [f"from {module} import {factory}"]
        build = f"{factory}(in_channels={bands}, classes={logits}{options})"
    else:
        lines = ["import segmentation_models_pytorch as smp"]
        named = f"{model.architecture!r}, encoder_name={model.encoder!r}, encoder_weights=None"
        build = f"smp.create_model({named}, in_channels={bands}, classes={logits}{options})"
    return "\n".join(
        [
            *lines,
            "from safetensors.torch import load_file",
            "",
            f"model = {build}",
            f"model.load_state_dict(load_file({file!r}))",
            "model.eval()",
            f"mask = model(images){_predict(exported, repr(exported.logit_threshold))}",
        ]
    )


def _of_folder(weights: TrainedWeights, exported: ScheduleFile) -> str:
    from lossweep.trainers.data.crops.whole_images import STRIDE

    normalization = weights.data.val.normalization
    own = _is_own(weights.plan.model)
    load = 'torch.export.load("program.pt2").module()' if own else 'smp.from_pretrained(".").eval()'
    return "\n".join(
        [
            "import json",
            "",
            *([] if own else ["import segmentation_models_pytorch as smp"]),
            "import torch",
            "from safetensors import safe_open",
            "",
            f"model = {load}  # in this folder",
            'with safe_open("model.safetensors", "pt") as file:',
            '    said = json.loads(file.metadata()["lossweep"])',
            'mean, std = (torch.tensor(said["normalization"][key]) for key in ("mean", "std"))',
            _WITH_PADDING.format(
                bands=normalization.bands,
                kind=normalization.kind,
                scaling=_SCALING if normalization.ranges else "x = images.float()\n",
                stride=STRIDE,
                predict=_predict(exported, 'said["threshold"]'),
            ),
        ]
    )


def _predict(exported: ScheduleFile, threshold: str) -> str:
    foreground = f"[:, 0] >= {threshold}  # true where foreground"
    return ".argmax(dim=1)  # class indices" if _several(exported) else foreground


def _is_own(model: ModelSpec) -> bool:
    return ":" in model.architecture


def _several(exported: ScheduleFile) -> bool:
    return len(exported.classes or ()) > 2


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
