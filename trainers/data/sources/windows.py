"""Cuts scenes into windows, and divides them into blocks; rows and columns only."""

from __future__ import annotations

from collections.abc import Iterator

Box = tuple[int, int, int, int]
"""First row, first column, height, width in pixels."""


def windows(region: Box, side: int, overlap: int) -> Iterator[Box]:
    """Cut a region into windows of ``side`` pixels.

    Where they may overlap, the last ones reach back to be whole; elsewhere they are smaller.
    """
    first_row, first_column, height, width = region
    for row, rows in _stretches(height, side, overlap):
        for column, columns in _stretches(width, side, overlap):
            yield first_row + row, first_column + column, rows, columns


def _stretches(extent: int, side: int, overlap: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        if start + side >= extent:
            start = max(0, extent - side) if overlap else start
            yield start, extent - start
            return
        yield start, side
        start += side - overlap


def blocks(height: int, width: int, size: int, gap: int) -> Iterator[Box]:
    """Divide a scene into about square blocks with ``gap`` pixels between them."""
    rows, columns = _edges(height, size, gap), _edges(width, size, gap)
    for top, bottom in rows:
        for left, right in columns:
            yield top, left, bottom - top, right - left


def _edges(extent: int, size: int, gap: int) -> list[tuple[int, int]]:
    count = max(1, round(extent / size))
    edges = [round(extent * i / count) for i in range(count + 1)]
    before, after = gap // 2, gap - gap // 2
    return [
        (edges[i] + (before if i else 0), edges[i + 1] - (after if i + 1 < count else 0))
        for i in range(count)
    ]
