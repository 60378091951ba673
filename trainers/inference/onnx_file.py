"""A trained model as ONNX: whole images in, logits out, and in the metadata all that its masks take."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from lossweep.spaces.files.errors import LossweepError, Problem, UserError
from lossweep.trainers.inference.model_files import metadata
from lossweep.trainers.inference.program import EXAMPLE, exporting, whole_images
from lossweep.trainers.inference.segmenter import Segmenter

INPUT: Final = "images"
OUTPUT: Final = "logits"

CLOSE: Final = 1e-3
"""How far two runtimes' float32 logits may lie apart, in units of the largest one."""

_NEEDED: Final = ("onnx", "onnxscript", "onnxruntime")
_LOGGERS: Final = ("torch.onnx", "onnxscript", "onnx_ir")


def check_onnx() -> None:
    """Look whether what ONNX files take is installed.

    Raises:
        UserError: naming what is not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        hint = "pip install 'lossweep[onnx]'"
        raise UserError(Problem("not installed", key="--onnx", found=", ".join(missing), hint=hint))


def save_onnx(segmenter: Segmenter, path: Path) -> None:
    """Write a model as ONNX, and hold what ONNX Runtime computes of it against torch.

    Its input ``images`` (N, bands, height, width), float32, are an image's own values, of any size: it is
    normalized and padded inside. Its output ``logits`` (N, K, height, width) has K = 1 for two classes, else
    one a class. The metadata holds ``threshold`` (on logits) and ``classes`` (JSON), and under ``lossweep``
    all that `model_files` writes.

    Raises:
        UserError: the extra is not installed, or torch can't export this model.
        LossweepError: ONNX Runtime computes something else.
    """
    check_onnx()
    spec, module = segmenter.spec, whole_images(segmenter)
    example = torch.zeros(EXAMPLE[0], spec.normalization.bands, *EXAMPLE[1:])
    images, height, width = (torch.export.Dim(name, min=1) for name in ("images", "height", "width"))
    with exporting(segmenter, "ONNX"), _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: images, 2: height, 3: width},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
        assert program is not None
        said = {"threshold": repr(spec.threshold), "classes": json.dumps(spec.classes)}
        program.model.metadata_props.update({**said, **metadata(spec)})
        program.save(str(path))
    _check(segmenter, path)


def onnx_logits(path: Path, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return what ONNX Runtime computes on the CPU of images (N, height, width, bands)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shown = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    return np.asarray(session.run([OUTPUT], {INPUT: shown})[0])


def _check(segmenter: Segmenter, path: Path) -> None:
    """Two sizes that it was not traced at, one of them no multiple of the stride."""
    module = whole_images(segmenter)
    normalization = segmenter.spec.normalization
    mean, std = np.array(normalization.mean), np.array(normalization.std)
    low, high = np.array(normalization.ranges or [*zip(mean - 2 * std, mean + 2 * std, strict=True)]).T
    chance = np.random.default_rng(0)
    for count, height, width in ((1, 64, 64), (2, 41, 100)):
        images = chance.uniform(low, high, (count, height, width, normalization.bands)).astype(np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
        found = onnx_logits(path, images)
        apart = np.abs(found - wanted).max() if found.shape == wanted.shape else np.inf
        if not apart <= CLOSE * max(1.0, float(np.abs(wanted).max())):
            path.unlink()
            name = segmenter.spec.model.architecture
            raise LossweepError(f"ONNX Runtime's logits of {name} lie {apart:.3g} from torch's: none is kept")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from telling of its passes."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
