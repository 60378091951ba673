"""Decodes items, several at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.sources.source import Decoded, Item, Source


def decode_all(source: Source, items: Sequence[Item]) -> Iterator[tuple[Item, Decoded | UserError]]:
    """Decode items in order, several at a time, holding only a few decoded ones."""
    threads = min(8, os.cpu_count() or 1)

    def attempt(item: Item) -> Decoded | UserError:
        try:
            return source.decode(item)
        except UserError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(items), 2 * threads):
            few = items[first : first + 2 * threads]
            yield from zip(few, pool.map(attempt, few), strict=True)
