"""Draws anti-aliased rectangles, discs and their shadows on a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]
_SHADE = 0.52
"""What a shadow leaves of the light."""


class Brush:
    """A float picture (size, size, 3) of values around 0 to 255, and the direction shadows fall in.

    Lengths are in pixels, angles in radians from the x axis towards y; a shape may lie partly outside.
    """

    def __init__(self, picture: NDArray[np.float32], sun: float) -> None:
        self._picture = picture
        self.size = picture.shape[0]
        self._away = (float(np.sin(sun)), float(np.cos(sun)))

    def blend(self, cover: NDArray[np.floating[Any]], color: NDArray[np.floating[Any]]) -> None:
        """Lay ``color`` over the whole picture where ``cover`` (size, size) is above 0."""
        self._picture += (cover[..., None] * (color - self._picture)).astype(np.float32)

    def _window(self, y: float, x: float, radius: float) -> Window:
        reach = radius + 1.0
        first = [min(self.size, max(0, int(np.floor(center - reach)))) for center in (y, x)]
        last = [min(self.size, max(0, int(np.ceil(center + reach)) + 1)) for center in (y, x)]
        return slice(first[0], last[0]), slice(first[1], last[1])

    def _offsets(self, window: Window, y: float, x: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, columns = window
        dy = np.arange(rows.start, rows.stop, dtype=np.float64)[:, None] - y
        return dy, np.arange(columns.start, columns.stop, dtype=np.float64)[None, :] - x

    def cover(
        self, y: float, x: float, half_length: float, half_width: float, angle: float
    ) -> tuple[Window, NDArray[np.float64]]:
        """Return the window a rectangle lies in, and how much of each of its pixels it covers."""
        window = self._window(y, x, float(np.hypot(half_length, half_width)))
        dy, dx = self._offsets(window, y, x)
        cos, sin = np.cos(angle), np.sin(angle)
        outside = np.maximum(abs(dx * cos + dy * sin) - half_length, abs(dy * cos - dx * sin) - half_width)
        return window, np.clip(0.5 - outside, 0.0, 1.0)

    def _disc_cover(self, y: float, x: float, radius: float) -> tuple[Window, NDArray[np.float64]]:
        window = self._window(y, x, radius)
        dy, dx = self._offsets(window, y, x)
        return window, np.clip(0.5 - (np.sqrt(dy * dy + dx * dx) - radius), 0.0, 1.0)

    def _lay(self, window: Window, cover: NDArray[np.float64], color: NDArray[np.floating[Any]]) -> None:
        part = self._picture[window]
        part += (cover[..., None] * (color - part)).astype(np.float32)

    def _darken(self, window: Window, cover: NDArray[np.float64]) -> None:
        self._picture[window] *= (1.0 - (1.0 - _SHADE) * cover[..., None]).astype(np.float32)

    def rectangle(
        self,
        y: float,
        x: float,
        half_length: float,
        half_width: float,
        angle: float,
        color: NDArray[np.floating[Any]],
        opacity: float = 1.0,
    ) -> None:
        """Draw a rectangle."""
        window, cover = self.cover(y, x, half_length, half_width, angle)
        self._lay(window, cover * opacity, color)

    def disc(self, y: float, x: float, radius: float, color: NDArray[np.floating[Any]]) -> None:
        """Draw a disc."""
        self._lay(*self._disc_cover(y, x, radius), color)

    def shadow(
        self, y: float, x: float, half_length: float, half_width: float, angle: float, reach: float
    ) -> None:
        """Darken what a box of height ``reach`` shades: the rectangle swept away from the sun."""
        away_y, away_x = self._away
        rows, columns = self._window(y, x, float(np.hypot(half_length, half_width)) + reach)
        swept = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        for share in np.linspace(0.25, 1.0, max(2, round(reach))):
            shift = share * reach
            window, cover = self.cover(y + away_y * shift, x + away_x * shift, half_length, half_width, angle)
            inner = (
                slice(window[0].start - rows.start, window[0].stop - rows.start),
                slice(window[1].start - columns.start, window[1].stop - columns.start),
            )
            swept[inner] = np.maximum(swept[inner], cover)
        self._darken((rows, columns), swept)

    def disc_shadow(self, y: float, x: float, radius: float, reach: float) -> None:
        """Darken what a ball shades."""
        away_y, away_x = self._away
        self._darken(*self._disc_cover(y + away_y * reach, x + away_x * reach, radius))

    def developed(self, generator: np.random.Generator) -> NDArray[np.uint8]:
        """Return the picture as a sensor sees it: slightly blurred, with haze, exposure and noise."""
        picture: NDArray[np.floating[Any]] = self._picture
        for axis in (0, 1):
            padded = np.concatenate([picture.take([0], axis), picture, picture.take([-1], axis)], axis)
            before, after = padded.take(range(self.size), axis), padded.take(range(2, self.size + 2), axis)
            picture = 0.7 * picture + 0.15 * (before + after)
        picture = (picture - 110.0) * generator.uniform(0.8, 1.1) + 110.0 + generator.uniform(-14.0, 14.0)
        picture = picture + generator.normal(0.0, 3.5, picture.shape)
        return np.clip(np.rint(picture), 0.0, 255.0).astype(np.uint8)
