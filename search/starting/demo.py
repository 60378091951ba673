"""README's example, which comes with the package."""

from __future__ import annotations

from importlib.resources import files


def demo_text() -> str:
    """Return the sweep file on procedural scenes; a test holds it to ``examples/scenes.yaml``."""
    return files(__package__).joinpath("demo.yaml").read_text(encoding="utf-8")
