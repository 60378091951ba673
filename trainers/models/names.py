"""Names of SMP's architectures, encoders, weights and options: what there is none of, and what is near."""

from __future__ import annotations

import inspect
from typing import Any, Final

from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.trainers.plan import ModelSpec

_NOT_OPTIONS: Final = {"self", "kwargs", "encoder_name", "encoder_weights", "in_channels", "classes"}
"""Parameters of an architecture that have keys of their own."""


def check_names(spec: ModelSpec) -> None:
    """Check the names and options of one of SMP's models.

    Raises:
        UserError: with each that there is none of.
    """
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
    known = set(inspect.signature(architecture.__init__).parameters) - _NOT_OPTIONS
    unknown = [] if spec.encoder.startswith("tu-") else sorted(set(spec.options) - known)
    allowed = ", ".join(sorted(known))
    problems = [
        Problem(
            f"{spec.architecture} has no such option",
            key=f"model.options.{option}",
            allowed=allowed,
            hint=nearest(option, sorted(known)),
        )
        for option in unknown
    ]
    activation = spec.options.get("activation")
    if activation not in (None, "identity"):
        problems.append(
            Problem(
                "a model has to return logits: each loss computes the probabilities it needs, and metrics and"
                " thresholds are of logits",
                key="model.options.activation",
                found=repr(activation),
                allowed="null",
                hint="leave activation out",
            )
        )
    return problems


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
