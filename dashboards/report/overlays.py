"""What a model found and missed: hits, false alarms and misses in colours the colour-blind can tell apart."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lossweep.spaces.class_prior import IGNORE_INDEX

TRUE_POSITIVE: Final = (86, 180, 233)
FALSE_POSITIVE: Final = (213, 94, 0)
FALSE_NEGATIVE: Final = (240, 228, 66)
"""Sky blue, vermillion and yellow of Okabe and Ito: told apart by hue and by lightness."""
IGNORED: Final = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class OverlayTile:
    """One validation tile as the winner and as the control see it.

    Attributes:
        name: of the tile.
        winner: PNG of the winner's overlay.
        control: PNG of the control's.
        winner_counts: pixels hit, falsely alarmed and missed by the winner.
        control_counts: likewise, by the control.
    """

    name: str
    winner: bytes
    control: bytes
    winner_counts: tuple[int, int, int]
    control_counts: tuple[int, int, int]


def hits_and_misses(
    mask: NDArray[np.integer[Any]], prediction: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where the prediction hits, alarms falsely and misses, over all foreground classes.

    Args:
        mask: class indices (H, W), 255 ignored.
        prediction: predicted class indices (H, W).

    Returns:
        Three masks (H, W). Foreground of the wrong class is a false alarm: the object was seen, and called
        wrong.
    """
    if mask.shape != prediction.shape:
        raise ValueError(
            f"mask and prediction must have one shape, but got {mask.shape} and {prediction.shape}"
        )
    counted = mask != IGNORE_INDEX
    hit = counted & (mask > 0) & (prediction == mask)
    alarm = counted & (prediction > 0) & (prediction != mask)
    miss = counted & (mask > 0) & (prediction == 0)
    return hit, alarm, miss


def overlay(
    image: NDArray[Any],
    mask: NDArray[np.integer[Any]],
    prediction: NDArray[np.integer[Any]],
    opacity: float = 0.65,
) -> NDArray[np.uint8]:
    """Paint hits, false alarms and misses over an image.

    Args:
        image: (H, W), (H, W, C) or (C, H, W) with C up to 4 channels kept; any number type, stretched to its
            range.
        mask: class indices (H, W), 255 ignored.
        prediction: predicted class indices (H, W).
        opacity: of the paint.

    Returns:
        RGB (H, W, 3).
    """
    ground: NDArray[np.float32] = _as_rgb(image, mask.shape).astype(np.float32) * 0.8
    # Pale, so that a blue car is not taken for a hit, nor a red roof for an alarm.
    ground = 0.35 * ground + 0.65 * ground.mean(axis=-1, keepdims=True)
    hit, alarm, miss = hits_and_misses(mask, prediction)
    painted = ground.copy()
    for where, color in (
        (hit, TRUE_POSITIVE),
        (alarm, FALSE_POSITIVE),
        (miss, FALSE_NEGATIVE),
        (mask == IGNORE_INDEX, IGNORED),
    ):
        painted[where] = (1.0 - opacity) * ground[where] + opacity * np.array(color, dtype=np.float32)
    return np.asarray(np.clip(painted, 0, 255), dtype=np.uint8)


def to_png(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def tile(
    name: str,
    image: NDArray[Any],
    mask: NDArray[np.integer[Any]],
    winner: NDArray[np.integer[Any]],
    control: NDArray[np.integer[Any]],
) -> OverlayTile:
    """Return one validation tile as the winner and the control see it; arrays as `overlay` takes them."""
    return OverlayTile(
        name=name,
        winner=to_png(overlay(image, mask, winner)),
        control=to_png(overlay(image, mask, control)),
        winner_counts=_counts(mask, winner),
        control_counts=_counts(mask, control),
    )


def _counts(mask: NDArray[np.integer[Any]], prediction: NDArray[np.integer[Any]]) -> tuple[int, int, int]:
    hit, alarm, miss = (int(np.count_nonzero(part)) for part in hits_and_misses(mask, prediction))
    return hit, alarm, miss


def _as_rgb(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if image.ndim == 3 and image.shape[:2] != shape and image.shape[1:] == shape:
        image = np.moveaxis(image, 0, -1)
    if image.shape[:2] != shape:
        raise ValueError(f"image must have the mask's height and width {shape}, but got {image.shape}")
    planes = image[..., None] if image.ndim == 2 else image
    planes = planes[..., :3] if planes.shape[-1] >= 3 else np.repeat(planes[..., :1], 3, axis=-1)
    if planes.dtype == np.uint8:
        return planes
    values = np.nan_to_num(planes.astype(np.float64))
    low, high = np.percentile(values, (1, 99))
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.asarray(np.clip(scaled * 255.0, 0, 255), dtype=np.uint8)
