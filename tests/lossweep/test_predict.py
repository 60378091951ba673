"""``lossweep predict``: the page's commands, and a process that is killed and goes on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from lossweep.__main__ import main
from lossweep.trainers.inference.model_files import save_model
from tests.trainers.inference.images import scene, smooth
from tests.trainers.inference.models import untrained

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "predicting.md").read_text()
Said = tuple[int, str, str]


@pytest.fixture
def lossweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs a command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


SWEEP = """\
name: vehicles
data: {source: scenes, tile: 64, train: 8, val: 3, test: 2}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
space: {preset: single}
objective: {use_case: balanced}
budget: {trials: 2, epochs: 2}
resources: {runner: inline}
"""


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_they_say(tmp_path: Path, lossweep: Callable[..., Said]) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    code, _, error = lossweep("submit", "sweep.yaml")
    assert code == 0, error
    assert lossweep("export", "vehicles", "-o", "best.yaml", "--checkpoint", "best.safetensors")[0] == 0
    code, _, error = lossweep("train", "best.yaml", "-o", "model.pt")
    assert code == 0, error
    (tmp_path / "images").mkdir()
    Image.fromarray(smooth(80, 90)).save(tmp_path / "images" / "a.png")
    scene(tmp_path / "scene.tif", smooth(300, 310))
    block = re.search(r"<!-- run: tests/lossweep/test_predict.py -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        words = shlex.split(line, comments=True)
        code, out, error = lossweep(*words[1:])
        assert code == 0, error
        assert re.search(r"^wrote masks.* of 1 image to ", out)
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        "scene.geojson",
        "scene.probabilities.tif",
        "scene.tif",
    ]
    # The winner, its weights in a file, and its training again: one model, and so one mask.
    assert lossweep("predict", "best.safetensors", "scene.tif", "-o", "weights", "--tile", "256")[0] == 0
    assert lossweep("predict", "model.pt", "scene.tif", "-o", "again", "--tile", "256")[0] == 0
    masks = []
    for folder in ("winner", "weights", "again"):
        with rasterio.open(tmp_path / folder / "scene.tif") as found:
            masks.append(found.read(1))
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
    evaluates(tmp_path, lossweep)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, np.ndarray] = {}
    exec(compile(code, "predicting.md", "exec"), names)
    with Image.open(tmp_path / "masks" / "a.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), names["mask"])


def evaluates(folder: Path, lossweep: Callable[..., Said]) -> None:
    """The page's commands of evaluating, on the same sweep."""
    from contextlib import closing

    from lossweep.search.ledger import Ledger
    from lossweep.search.workspace import Workspace

    block = re.search(r"test_predict.py, evaluating -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    errors = []
    for line in block[1].splitlines():
        code, out, error = lossweep(*shlex.split(line, comments=True)[1:])
        assert code == 0, error
        assert re.match(r"(val|test), \d images: precision 0\.\d{3}, ", out)
        errors.append(error)
    assert ["The test split was read" in error for error in errors] == [False, False, True]
    with closing(Ledger(Workspace.at().database_url, read_only=True)) as ledger:
        winner = ledger.history("vehicles").winner()
    assert winner is not None
    assert winner.scored is not None
    told = json.loads((folder / "figures.json").read_text())
    assert told["metrics"] == dict(winner.scored.metrics)  # as they were measured, to the last bit
    assert told["thresholds"] == [winner.scored.threshold]
    assert "no longer held out" in (folder / "test.html").read_text()
    page = (folder / "winner.html").read_text()
    assert "no longer held out" not in page
    assert f"{winner.scored.metrics['tuned_f1']:.4f}" in page
    assert page.count("<img alt=") == 3


def test_mistakes_are_told_in_the_users_words(tmp_path: Path, lossweep: Callable[..., Said]) -> None:
    save_model(untrained(), tmp_path / "model.pt")
    Image.fromarray(smooth(40, 40)[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, error = lossweep("predict", "model.pt", "grey.png", "torn.png", "-o", "out")
    assert code == 2
    assert len(error.splitlines()) == 2
    assert "grey.png: image is of another kind than those the model was trained on" in error
    code, _, error = lossweep("predict", "nothing.pt", "grey.png", "-o", "out")
    assert (code, error.startswith("nothing.pt: there is no such model")) == (2, True)
    code, _, error = lossweep("predict", "model.pt", "none.png", "-o", "out", "--tile", "100")
    assert code == 2
    assert "--tile: not whole strides; found 100; allowed: multiples of 32" in error
    assert "none.png: there is no such image or folder" in error


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
PREDICT = [sys.executable, "-m", "lossweep", "predict", "model.pt", "scene.tif", "--tile", "128"]
PREDICT += ["--overlap", "64", "--flips", "--write", "masks", "--write", "probabilities", "--device", "cpu"]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a scene of twenty rows of tiles, and what is predicted of it in one go."""
    folder = tmp_path_factory.mktemp("predicted")
    save_model(untrained(), folder / "model.pt")
    scene(folder / "scene.tif", smooth(1400, 192), compress="deflate")
    subprocess.run([*PREDICT, "-o", "once"], cwd=folder, env=ENVIRONMENT, check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_process_that_was_stopped_goes_on(how: signal.Signals, predicted: Path) -> None:
    twice = predicted / how.name
    process = subprocess.Popen([*PREDICT, "-o", how.name], cwd=predicted, env=ENVIRONMENT)
    try:
        while len(list(twice.glob(".lossweep/*/*.npz"))) < 3:
            assert process.poll() is None, "it ended before it could be stopped"
            time.sleep(0.01)
        process.send_signal(how)
        code = process.wait(60)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert code == (130 if how is signal.SIGTERM else -9)
    kept = {path: path.stat().st_mtime_ns for path in twice.glob(".lossweep/*/*.npz")}
    assert len(kept) >= 3
    assert not (twice / "scene.tif").exists()
    subprocess.run([*PREDICT, "-o", how.name], cwd=predicted, env=ENVIRONMENT, check=True)
    for name in ("scene.tif", "scene.probabilities.tif"):
        assert (predicted / "once" / name).read_bytes() == (twice / name).read_bytes()
