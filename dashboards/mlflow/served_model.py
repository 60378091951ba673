"""The model that MLflow loads: images in, masks out. This file lies beside the weights ("models from code").

It imports nothing of lossweep, so that a model loads where lossweep is not installed: torch, safetensors and
numpy will do, with segmentation-models-pytorch for a model of its architectures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]
from numpy.typing import NDArray
from safetensors import safe_open

STRIDE = 32
"""Images are padded right and below to a multiple of this, with the mean of the training pixels."""

OUTPUTS = ("masks", "probabilities", "logits")


class Predictions:
    """What `ServedModel` does, apart from it: of a class of its own MLflow makes schemas of type hints.

    Attributes:
        said: all that predicting takes beside the weights, as lossweep wrote it with them.
    """

    said: dict[str, Any]

    def load_context(self, context: Any) -> None:
        """Load the weights, and what was written with them."""
        folder = Path(context.artifacts["model"])
        with safe_open(folder / "model.safetensors", "pt") as file:
            self.said = json.loads(file.metadata()["lossweep"])
        self._layout = (
            torch.channels_last if self.said["training"]["channels_last"] else torch.contiguous_format
        )
        program = folder / "program.pt2"
        self._device = torch.device("cuda" if torch.cuda.is_available() and not program.exists() else "cpu")
        if program.exists():  # a model of one's own, whose code need not be here
            self._model: Any = torch.export.load(program).module()
            return
        import segmentation_models_pytorch as smp

        model = smp.from_pretrained(str(folder)).eval()
        self._model = model.to(self._device, memory_format=self._layout)

    # Without type hints: MLflow warns of those that say no list of rows.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Predict.

        Args:
            context: of MLflow.
            model_input: images (N, height, width, bands) with values as those of the training images.
            params: ``{"output": "probabilities"}`` or ``"logits"`` in place of masks.

        Returns:
            Masks (N, height, width) of class indices, uint8; or (N, K, height, width) float32, K = 1 for two
            classes (the foreground's), else one a class.

        Raises:
            ValueError: the images have another shape or type, or there is no such output.
        """
        output = (params or {}).get("output", "masks")
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, but got {output!r}")
        logits = self._logits(self._checked(np.asarray(model_input)))
        binary = len(self.said["classes"]) == 2
        if output == "logits":
            return logits.numpy()
        if output == "probabilities":
            return (torch.sigmoid(logits) if binary else torch.softmax(logits, dim=1)).numpy()
        values = logits.numpy()
        if binary:
            return (values[:, 0] >= self.said["threshold"]).astype(np.uint8)
        return np.nan_to_num(values, nan=-np.inf).argmax(axis=1).astype(np.uint8)

    def _checked(self, images: NDArray[Any]) -> NDArray[Any]:
        normalization = self.said["normalization"]
        bands = len(normalization["mean"])
        kind = np.dtype("float32" if normalization["ranges"] else normalization["dtype"])
        if images.ndim != 4 or images.shape[3] != bands or images.dtype != kind:
            found = f"{images.dtype} {images.shape}"
            raise ValueError(f"images must be {kind} (N, height, width, {bands}), but got {found}")
        return images

    def _logits(self, images: NDArray[Any]) -> torch.Tensor:
        """Logits (N, K, height, width) on the CPU."""
        normalization = self.said["normalization"]
        if ranges := normalization["ranges"]:  # as floats were stored for training: in 16 bits
            low, high = np.array(ranges, np.float32).T
            images = np.rint(np.clip((np.nan_to_num(images) - low) / (high - low), 0.0, 1.0) * 65535.0)
        mean, std = torch.tensor(normalization["mean"]), torch.tensor(normalization["std"])
        values = torch.from_numpy(np.asarray(images, np.float32)) * (1.0 / std) + -mean / std
        height, width = values.shape[1:3]
        padding = (0, 0, 0, -width % STRIDE, 0, -height % STRIDE)
        shown = torch.nn.functional.pad(values, padding).permute(0, 3, 1, 2).to(self._device)
        with torch.inference_mode():
            logits: torch.Tensor = self._model(shown.contiguous(memory_format=self._layout))
        return logits[:, :, :height, :width].float().cpu().contiguous()


class ServedModel(Predictions, PythonModel):
    """A trained segmentation model."""


mlflow.models.set_model(ServedModel())
