"""The model of a trial, built: one of SMP's architectures and encoders, or a user's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.determinism import isolated
from lossweep.trainers.imports import load_object
from lossweep.trainers.models.head import smp_head, start_at_prior, start_own_at_prior
from lossweep.trainers.models.names import check_names
from lossweep.trainers.plan import ModelSpec


def build_model(spec: ModelSpec, prior: ClassPrior, in_channels: int, seed: int, tile: int = 64) -> nn.Module:
    """Build a model on the CPU whose first prediction is each class at its training frequency.

    Its random weights are a function of the seed alone, and the process's random numbers are left as they
    were.

    Args:
        spec: which model.
        prior: its classes (`ClassPrior.channels` logits) and their frequencies.
        in_channels: bands of an image.
        seed: of the random weights.
        tile: side of a training crop, in pixels; a user's own model is shown one to find its last layer.

    Raises:
        UserError: no such architecture, encoder, option or factory, or the pretrained weights cannot be
            loaded.
    """
    model = raw_model(spec, prior, in_channels, seed)
    if not is_own(spec):
        start_at_prior(smp_head(model), prior)
        return model
    twin = raw_model(spec, prior, in_channels, seed + 1)
    with isolated(seed, "head"):
        start_own_at_prior(model, twin, prior, in_channels, tile)
    return model


def raw_model(spec: ModelSpec, prior: ClassPrior, in_channels: int, seed: int) -> nn.Module:
    """Build a model as its factory does, such as one whose weights are then loaded; see `build_model`."""
    with isolated(seed, "weights"):
        return create(spec, in_channels, prior.channels)


def is_own(spec: ModelSpec) -> bool:
    """Whether it is a user's own model, by its import path."""
    return ":" in spec.architecture


def create(spec: ModelSpec, in_channels: int, classes: int) -> nn.Module:
    """Build a model wherever torch builds modules now, from the random numbers as they stand.

    Raises:
        UserError: see `build_model`.
    """
    if is_own(spec):
        return _create_own(spec, in_channels, classes)
    # Imported here: SMP imports timm and torchvision, seconds that reading a plan should not cost.
    import segmentation_models_pytorch as smp

    check_names(spec)
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
        f"the pretrained weights of {spec.encoder} could not be loaded ({one_line(error)})",
        key="model.weights",
        found=repr(spec.weights),
        hint="they come from the Hugging Face hub: fetch them once where there is a network (or copy its "
        "cache folder, HF_HOME, here), or set weights: null to train from random weights",
    )


def _failed(what: str, error: Exception) -> Problem:
    return Problem(f"{what} cannot be built: {one_line(error)}", key="model")


def one_line(error: Exception) -> str:
    """Return an error's type and the first line of its message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
