"""The verdict over fresh seeds, which stands on top of the page once there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a confirmation has found.

    Attributes:
        sentence: which schedule is better, and how sure that is.
        words: what stands under it, a paragraph each.
    """

    sentence: str
    words: tuple[str, ...] = ()
