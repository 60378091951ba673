"""The tutorial's commands lead from images to masks: as they stand there, with a smaller budget."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossweep.__main__ import main
from lossweep.search.starting.budget import Pace
from tests.shown_blocks import blocks_of

SMALLER = ("budget.trials=2", "budget.epochs=1", "controls.at_least=1", "resources.runner=inline")
"""What is set for ``submit``: the page's own budget is for some minutes."""


def write_photos(folder: Path, count: int) -> None:
    """Frames of noise with a bright square each, and masks of it, black and white."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 120, (64, 64), np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[5:25, 5 + number : 25 + number] = 255
        name = f"IMG_{number:04d}.png"
        Image.fromarray(np.maximum(pixels, mask // 255 * 200)).save(folder / "images" / name)
        Image.fromarray(mask).save(folder / "masks" / name)


@pytest.mark.slow
def test_four_commands_lead_from_images_to_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [words for block in blocks_of("docs/tutorial.md") for words in block.lossweep]
    assert [words[0] for words in commands] == ["init", "submit", "publish", "predict"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path / "runs"))
    # Measuring is tried by the slow test of init; here it takes no time.
    monkeypatch.setattr("lossweep.search.starting.start.measured", lambda spec, data: Pace(50.0, 0.5))
    write_photos(tmp_path / "photos", 12)
    (tmp_path / "new").mkdir()
    Image.fromarray(np.full((70, 90), 60, np.uint8)).save(tmp_path / "new" / "IMG_0012.png")
    for words in commands:
        less = [word for each in SMALLER for word in ("--set", each)] if words[0] == "submit" else []
        monkeypatch.setattr(sys, "argv", ["lossweep", *words, *less])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, words
    written = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"model.safetensors", "README.md", "config.json"} <= written
    with Image.open(tmp_path / "masks" / "IMG_0012.png") as mask:
        assert mask.size == (90, 70)
