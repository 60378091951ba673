"""The model of a trial: SMP's architectures and encoders or a user's own, the head biased to the prior."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.trainers.determinism import isolated
from lossweep.trainers.imports import load_object
from lossweep.trainers.plan import ModelSpec

RAREST = 1e-6
"""The least class frequency the head is biased to: a class absent from training must stay learnable."""


def build_model(spec: ModelSpec, prior: ClassPrior, in_channels: int, seed: int) -> nn.Module:
    """Build a model on the CPU, its random weights a function of the seed alone.

    Args:
        spec: which model.
        prior: its classes (`ClassPrior.channels` logits) and the frequencies its head is biased to.
        in_channels: bands of an image.
        seed: of the random weights. The process's random numbers are left as they were.

    Raises:
        UserError: no such architecture, encoder, option or factory, or the pretrained weights cannot be
            loaded.
    """
    with isolated(seed, "weights"):
        model = _create(spec, in_channels, prior.channels)
        bias_head(model, prior)
    return model


def check_model(spec: ModelSpec, prior: ClassPrior, in_channels: int, tile: int = 64) -> None:
    """Find what is wrong with a model before any worker starts.

    Names are looked up, pretrained weights are fetched (they are needed anyway), and one training batch
    passes through the model on torch's meta device: shapes without arithmetic, some tenths of a second.

    Args:
        spec: which model.
        prior: its classes.
        in_channels: bands of an image.
        tile: side of a training crop, in pixels.

    Raises:
        UserError: as `build_model`, or the output is not (images, logits, tile, tile).
    """
    if spec.weights is not None:
        build_model(spec, prior, in_channels, seed=0)
    expected = (2, prior.channels, tile, tile)
    try:
        with isolated(0, "check"), torch.device("meta"):
            model = _create(spec.model_copy(update={"weights": None}), in_channels, prior.channels)
            output = model(torch.empty(2, in_channels, tile, tile))
    except Exception:
        # Some models do what the meta device cannot, such as reading a value back: then the arithmetic is
        # done, and what fails there is the model's own fault.
        model = build_model(spec.model_copy(update={"weights": None}), prior, in_channels, seed=0)
        output = _forward(model, in_channels, tile)
    if not isinstance(output, Tensor):
        message = f"returned {type(output).__name__} instead of a tensor of logits"
        raise UserError(Problem(message, key="model.architecture", found=repr(spec.architecture)))
    if tuple(output.shape) != expected:
        raise UserError(
            Problem(
                f"returned {tuple(output.shape)} for images of shape {(2, in_channels, tile, tile)}",
                key="model.architecture",
                found=repr(spec.architecture),
                allowed=f"{expected}: one logit for two classes, else one a class, as large as the image",
            )
        )


def bias_head(model: nn.Module, prior: ClassPrior) -> bool:
    """Bias the last convolution so that the untrained model predicts each class at its training frequency.

    Two classes: ``b = -log((1 - p) / p)`` (Lin et al., ICCV 2017, section 4.1); more: ``b_c = log f_c``,
    the same for a softmax. The head is ``model.segmentation_head`` where there is one (every SMP model),
    else the last convolution with as many outputs as there are logits.

    Returns:
        Whether such a convolution was found.
    """
    inside = getattr(model, "segmentation_head", model)
    heads = [
        module
        for module in inside.modules()
        if isinstance(module, nn.Conv2d) and module.out_channels == prior.channels and module.bias is not None
    ]
    if not heads:
        return False
    bias = heads[-1].bias
    assert bias is not None
    shares = [min(max(share, RAREST), 1.0 - RAREST) for share in prior.frequencies]
    values = [-math.log((1.0 - shares[1]) / shares[1])] if prior.is_binary else [math.log(f) for f in shares]
    with torch.no_grad():
        bias.copy_(torch.tensor(values))
    return True


def _create(spec: ModelSpec, in_channels: int, classes: int) -> nn.Module:
    if ":" in spec.architecture:
        return _create_own(spec, in_channels, classes)
    # Imported here: SMP imports timm and torchvision, seconds that reading a plan should not cost.
    import segmentation_models_pytorch as smp

    _check_names(spec)
    architecture = smp.MODEL_ARCHITECTURES_MAPPING[spec.architecture.lower()]
    # timm's weights are named by the encoder, so SMP wants a mere yes.
    weights: Any = bool(spec.weights) or None if spec.encoder.startswith("tu-") else spec.weights
    arguments = {"encoder_name": spec.encoder, "in_channels": in_channels, "classes": classes, **spec.options}
    try:
        with _quiet_downloads():
            return _checked_module(architecture(encoder_weights=weights, **arguments))
    except Exception as error:
        if weights is not None and _builds(architecture, arguments):
            raise UserError(_unloadable(spec, error)) from error
        raise UserError(_failed(f"{spec.architecture} with encoder {spec.encoder}", error)) from error


def _create_own(spec: ModelSpec, in_channels: int, classes: int) -> nn.Module:
    factory = load_object(spec.architecture, "model.architecture")
    if spec.weights is not None:
        message = "is for SMP's encoders; a model of one's own loads its own weights"
        raise UserError(Problem(message, key="model.weights", found=repr(spec.weights), allowed="null"))
    try:
        return _checked_module(factory(in_channels=in_channels, classes=classes, **spec.options))
    except Exception as error:
        raise UserError(_failed(spec.architecture, error)) from error


def _check_names(spec: ModelSpec) -> None:
    import segmentation_models_pytorch as smp
    import timm

    problems = []
    if spec.architecture.lower() not in smp.MODEL_ARCHITECTURES_MAPPING:
        names = [architecture.__name__ for architecture in smp.MODEL_ARCHITECTURES_MAPPING.values()]
        problems.append(
            Problem(
                "there is no such architecture",
                key="model.architecture",
                found=repr(spec.architecture),
                allowed=", ".join(names) + ", or package.module:factory",
                hint=nearest(spec.architecture, names),
            )
        )
    if spec.encoder.startswith("tu-"):
        name = spec.encoder.removeprefix("tu-")
        if not timm.is_model(name):
            hint = nearest(spec.encoder.partition(".")[0], [f"tu-{each}" for each in timm.list_models()])
            problems.append(
                Problem("timm has no such encoder", key="model.encoder", found=repr(spec.encoder), hint=hint)
            )
        elif spec.weights is not None and not timm.models.is_model_pretrained(name):
            problems.append(
                Problem("timm has no weights for this encoder", key="model.weights", found=repr(spec.weights))
            )
    elif not spec.encoder.startswith("timm-") or spec.encoder in smp.encoders.encoders:
        problems.extend(_smp_encoder_problems(spec, smp.encoders.encoders))
    if not problems:
        problems = _option_problems(spec, smp.MODEL_ARCHITECTURES_MAPPING[spec.architecture.lower()])
    if problems:
        raise UserError(problems)


def _option_problems(spec: ModelSpec, architecture: Any) -> list[Problem]:
    """SMP passes options it does not know to the encoder, and its own encoders drop them silently."""
    known = set(inspect.signature(architecture.__init__).parameters)
    known -= {"self", "kwargs", "encoder_name", "encoder_weights", "in_channels", "classes"}
    unknown = [] if spec.encoder.startswith("tu-") else sorted(set(spec.options) - known)
    allowed = ", ".join(sorted(known))
    return [
        Problem(
            f"{spec.architecture} has no such option",
            key=f"model.options.{option}",
            allowed=allowed,
            hint=nearest(option, sorted(known)),
        )
        for option in unknown
    ]


def _smp_encoder_problems(spec: ModelSpec, encoders: dict[str, Any]) -> list[Problem]:
    if spec.encoder not in encoders:
        hint = nearest(spec.encoder, list(encoders)) or "SMP's encoders, or tu- and a timm model's name"
        return [Problem("SMP has no such encoder", key="model.encoder", found=repr(spec.encoder), hint=hint)]
    known = encoders[spec.encoder]["pretrained_settings"]
    if spec.weights is None or spec.weights in known:
        return []
    allowed = ", ".join(known) or "null"
    message = f"SMP has no such weights for {spec.encoder}"
    return [Problem(message, key="model.weights", found=repr(spec.weights), allowed=allowed)]


@contextmanager
def _quiet_downloads() -> Iterator[None]:
    """Keep the hub's client from printing each of its retries: one error says it all."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _checked_module(model: Any) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"it returned {type(model).__name__}, not an nn.Module")
    return model


def _builds(architecture: Any, arguments: dict[str, Any]) -> bool:
    """Whether the model can be built without pretrained weights, so that only these are at fault."""
    try:
        with torch.device("meta"):
            architecture(encoder_weights=None, **arguments)
    except Exception:
        return False
    return True


def _unloadable(spec: ModelSpec, error: Exception) -> Problem:
    return Problem(
        f"the pretrained weights of {spec.encoder} could not be loaded ({_one_line(error)})",
        key="model.weights",
        found=repr(spec.weights),
        hint="they come from the Hugging Face hub: fetch them once where there is a network (or copy its "
        "cache folder, HF_HOME, here), or set weights: null to train from random weights",
    )


def _failed(what: str, error: Exception) -> Problem:
    return Problem(f"{what} cannot be built or run: {_one_line(error)}", key="model")


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def _forward(model: nn.Module, in_channels: int, tile: int) -> Any:
    try:
        with torch.no_grad():
            return model(torch.zeros(2, in_channels, tile, tile))
    except Exception as error:
        raise UserError(_failed(f"a batch of {tile}x{tile} crops", error)) from error
