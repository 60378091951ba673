"""Files that hold a trained model: ``.pt`` as `lossweep train` writes it, and ``.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError
from torch import Tensor

from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.trainers.determinism import isolated
from lossweep.trainers.inference.segmenter import Precision, Segmenter
from lossweep.trainers.inference.spec import SegmenterSpec
from lossweep.trainers.models.building import create, one_line

FORMAT: Final = "lossweep-model/2"
_OLD: Final = "lossweep-model/1"
"""Without normalization, tile, training and provenance; its ``channels`` are bands of an image."""

SUFFIXES: Final = (".pt", ".safetensors")


def metadata(spec: SegmenterSpec) -> dict[str, str]:
    """What a safetensors file says of its weights: all that loading it takes, as one value."""
    return {"lossweep": json.dumps({"format": FORMAT, **spec.model_dump(mode="json")})}


def save_model(segmenter: Segmenter, path: Path) -> None:
    """Write a model as ``.pt`` or ``.safetensors``, by the suffix."""
    spec = segmenter.spec
    tensors = {name: each.detach().cpu() for name, each in segmenter.model.state_dict().items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        whole = {name: each.contiguous().clone() for name, each in tensors.items()}
        save_file(whole, path, metadata={"format": "pt", **metadata(spec)})
        return
    said = {"format": FORMAT, **spec.model_dump(mode="json"), "channels": spec.normalization.bands}
    torch.save({**said, "state_dict": tensors}, path)


def load_model(
    path: Path,
    *,
    missing: Mapping[str, Any] | None = None,
    precision: Precision = "float32",
    device: torch.device | str | None = None,
) -> Segmenter:
    """Load a model from its file.

    Nothing in a file is executed: a ``.pt`` is read as tensors and plain data alone. But a model of one's own
    is built by its import path, so that its code runs.

    Args:
        path: of `lossweep train`, or of `lossweep export --checkpoint`.
        missing: values of `SegmenterSpec` for a file of an earlier lossweep, which held fewer.
        precision: see `Segmenter.of`.
        device: the GPU, when there is one, when None.

    Raises:
        UserError: there is no such file, it is damaged, is no model of lossweep, or the model can't be built.
    """
    said, tensors = _read(path)
    spec = _spec(path, {**(missing or {}), **said})
    with isolated(0, "weights"):
        unfetched = spec.model.model_copy(update={"weights": None})
        model = create(unfetched, spec.normalization.bands, spec.channels)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            Problem(f"the weights are not those of its model: {one_line(error)}", file=str(path))
        ) from None
    return Segmenter.of(model, spec, precision=precision, device=device)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says of its weights, and the weights."""
    if not path.is_file():
        why = "is a folder, not a model" if path.is_dir() else "there is no such model"
        raise UserError(Problem(why, file=str(path), allowed=f"a file {' or '.join(SUFFIXES)}"))
    try:
        said, tensors = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    except Exception as error:  # damaged files make readers raise many kinds
        if isinstance(error, PermissionError):
            raise UserError(Problem("may not be read: permission denied", file=str(path))) from None
        raise UserError(Problem(f"no readable model: {one_line(error)}", file=str(path))) from None
    found = said.pop("format", None)
    if found not in (FORMAT, _OLD):
        hint = nearest(str(found), [FORMAT]) and "a later lossweep may read it"
        shown = repr(found) if found is not None else "none"
        raise UserError(
            Problem("no model of lossweep", str(path), key="format", found=shown, allowed=FORMAT, hint=hint)
        )
    return said, tensors


def _safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        said = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if "lossweep" in said:
        return json.loads(said["lossweep"]), tensors
    if {"threshold", "classes", "schedule"} <= said.keys():  # of an earlier lossweep
        old = {"threshold": float(said["threshold"]), "classes": said["classes"].split(",")}
        return {"format": _OLD, **old}, tensors
    return {}, tensors


def _pickled(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    said = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(said, dict) or "state_dict" not in said:
        return {}, {}
    tensors = said.pop("state_dict")
    said.pop("channels", None)
    return said, tensors


def _spec(path: Path, said: dict[str, Any]) -> SegmenterSpec:
    try:
        # By way of JSON: tuples, which it has none of, are lists in it.
        return SegmenterSpec.model_validate_json(json.dumps(said))
    except ValidationError as error:
        places = [(".".join(map(str, each["loc"])), each) for each in error.errors()]
        absent = [key for key, each in places if each["type"] == "missing"]
        if absent:
            problem = Problem(
                f"the file holds no {' and no '.join(absent)}: an earlier lossweep wrote it",
                file=str(path),
                hint="say with which sweep file it was trained: --sweep SWEEP.yaml",
            )
            raise UserError(problem) from None
        problems = [Problem(each["msg"], file=str(path), key=key) for key, each in places]
        raise UserError(problems) from None
