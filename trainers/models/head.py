"""A model's last layer, started so that the first prediction is each class at its training frequency."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior

RAREST: Final = 1e-6
"""The least class frequency the head is biased to: a class absent from training must stay learnable."""

_TRIED: Final = 4
"""Layers that a user's own model is looked through for its last one."""


def start_at_prior(head: nn.Module, prior: ClassPrior) -> None:
    """Make a layer predict each class at its training frequency, whatever it is given.

    Its bias is, for two classes, ``b = -log((1 - p) / p)`` (Lin et al., ICCV 2017, section 4.1); for more
    ``b_c = log f_c``, the same for a softmax. Its weights are 0: random ones swamp the bias wherever the
    features they meet are large, as an FPN's sums are.

    Args:
        head: with a weight, and a bias of as many values as there are logits, or of so many for each logit
            (a head that shuffles channels into pixels).
        prior: the classes and their frequencies.
    """
    weight, bias = head.get_parameter("weight"), head.get_parameter("bias")
    with torch.no_grad():
        weight.zero_()
        bias.copy_(prior_logits(prior).repeat_interleave(bias.numel() // prior.channels))


def prior_logits(prior: ClassPrior) -> Tensor:
    """Return the logits (classes,) of the class frequencies; one for two classes."""
    shares = [min(max(share, RAREST), 1.0 - RAREST) for share in prior.frequencies]
    if prior.is_binary:
        return torch.tensor([-math.log((1.0 - shares[1]) / shares[1])])
    return torch.tensor([math.log(share) for share in shares])


def smp_head(model: nn.Module) -> nn.Module:
    """Return the last convolution of one of SMP's models: what follows is upsampling alone."""
    convolutions = [
        part for part in model.get_submodule("segmentation_head").modules() if isinstance(part, nn.Conv2d)
    ]
    return convolutions[-1]


def start_own_at_prior(
    model: nn.Module, twin: nn.Module, prior: ClassPrior, in_channels: int, tile: int
) -> bool:
    """Find the last layer of a user's own model, and start it at the prior.

    It is found by what it does: the last layers to compute are tried, and kept is the one that makes the
    whole model predict the prior on a random image. A layer that was drawn otherwise in a twin is random;
    one that is the same was loaded, trained already, and the model is left as it is.

    Args:
        model: on the CPU.
        twin: built as the model was, from another seed.
        prior: the classes and their frequencies.
        in_channels: bands of an image.
        tile: side of the image.

    Returns:
        Whether it was found.
    """
    image = torch.randn(1, in_channels, tile, tile)
    wanted = prior_logits(prior)[:, None, None]
    try:
        with _predicting(model):
            for name, layer in _candidates(model, image, prior.channels):
                before = {key: value.clone() for key, value in layer.state_dict().items()}
                weight = layer.get_parameter("weight")
                if weight.any() and torch.equal(weight, twin.get_parameter(f"{name}.weight")):
                    return False
                start_at_prior(layer, prior)
                if torch.allclose(model(image), wanted, atol=1e-4):
                    return True
                layer.load_state_dict(before)
    except Exception:  # a user's code may raise anything: what is wrong with it shows where it is trained
        return False
    return False


def returns_probabilities(model: nn.Module, in_channels: int, channels: int, tile: int) -> bool:
    """Whether a model's outputs stay within 0 and 1, however its last layer is pushed.

    Args:
        model: on the CPU.
        in_channels: bands of an image.
        channels: of its output.
        tile: side of the image, in pixels.
    """
    image = torch.randn(1, in_channels, tile, tile, generator=torch.Generator().manual_seed(0))
    try:
        with _predicting(model):
            outputs = [model(image), model(10.0 * image)]
            for _, layer in _candidates(model, image, channels)[:1]:
                bias = layer.get_parameter("bias")
                before = bias.clone()
                for push in (20.0, -20.0):
                    bias.copy_(before + push)
                    outputs.append(model(image))
                bias.copy_(before)
    except Exception:  # a user's code may raise anything: what is wrong with it is said elsewhere
        return False
    return all(bool(((found >= 0.0) & (found <= 1.0)).all()) for found in outputs)


def _candidates(model: nn.Module, image: Tensor, channels: int) -> list[tuple[str, nn.Module]]:
    """The last layers to compute that have a weight and a bias a logit, by their names, the last first."""
    seen: dict[str, nn.Module] = {}
    handles = []
    for name, layer in model.named_modules():
        weight, bias = layer._parameters.get("weight"), layer._parameters.get("bias")
        if weight is not None and bias is not None and bias.numel() % channels == 0:

            def note(layer: nn.Module, inputs: object, output: object, name: str = name) -> None:
                seen.pop(name, None)
                seen[name] = layer

            handles.append(layer.register_forward_hook(note))
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return list(reversed(seen.items()))[:_TRIED]


@contextmanager
def _predicting(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
