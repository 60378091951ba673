"""What a sweep is refused for before its first worker starts, with the line where it is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lossweep.search.running.preflight import check_before_training, check_confirmable
from lossweep.search.running.task import segmentation
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import parse_yaml

SWEEP = """\
name: mine
data: {source: scenes, train: 8, val: 4, test: 2, tile: 64}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
space:
  learning_rate: 1e-3
  phases:
    - losses:
        - {term: cross_entropy}
        - term: "losses_beside_the_sweep:Edge"
          parameters: {width: {low: 1, high: 3}}
        - sum:
            - {loss: {term: jaccard}}
            - loss: {term: "losses_beside_the_sweep:Edge", parameters: {width: 2}}
objective: {use_case: balanced}
budget: {trials: 2, epochs: 2}
"""
LOSSES = """
class Edge:
    def __init__(self, width):
        self.width = width
        if width > 3:
            raise ValueError("wider than a tile")
    def __call__(self, logits, target):
        return (logits.sigmoid().mean() - 0.5) ** 2 * self.width
"""


@pytest.fixture(autouse=True)
def _losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "losses_beside_the_sweep.py").write_text(LOSSES)
    sys.modules.pop("losses_beside_the_sweep", None)
    monkeypatch.syspath_prepend(tmp_path)


def read(tmp_path: Path, *changes: tuple[str, str]) -> SweepSpec:
    text = SWEEP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return SweepSpec.read(parse_yaml(text, "sweep.yaml"), tmp_path)


def test_a_sound_sweep_starts(tmp_path: Path) -> None:
    assert segmentation(read(tmp_path), Workspace.at(tmp_path / "runs")).prior.names[0] == "background"


def test_suspicious_data_are_named_when_the_sweep_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A JPEG that is shown turned from its mask may be right, but nobody trains on it without being told."""
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "tiles" / split / kind).mkdir(parents=True)
        image = Image.effect_noise((64, 64), 60).convert("RGB")
        exif = image.getexif()
        exif[0x0112] = 3
        image.save(tmp_path / "tiles" / split / "images/a.jpg", exif=exif)
        Image.fromarray(np.eye(64, dtype=np.uint8)).save(tmp_path / "tiles" / split / "masks/a.png")
    scenes = "{source: scenes, train: 8, val: 4, test: 2, tile: 64}"
    spec = read(tmp_path, (scenes, "{source: folder, root: tiles, tile: 64}"))
    for _ in range(2):  # decoded, then from the cache
        caplog.clear()
        segmentation(spec, Workspace.at(tmp_path / "runs"))
        (record,) = [record for record in caplog.records if "Suspicious: " in record.message]
        assert "train/images/a.jpg and 1 more: by EXIF the image is shown turned" in record.message


def test_a_users_loss_is_checked_when_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(
            tmp_path,
            ('sweep:Edge"\n', 'sweep:Egde"\n'),
            ("parameters: {width: 2}", "parameters: {wide: 2}"),
        )
    first, second = raised.value.problems
    assert (first.line, first.key) == (9, "space.phases[0].losses[1].term")
    assert first.hint == "did you mean 'Edge'?"
    assert (second.line, second.key) == (13, "space.phases[0].losses[2].sum[1].loss.parameters")
    assert "wide" in str(second)
    assert str(second).endswith("allowed: width")


def test_a_users_loss_is_computed_before_any_training(tmp_path: Path) -> None:
    spec = read(tmp_path, ("high: 3", "high: 5"), ("resnet,", "resnett,"))
    with pytest.raises(UserError) as raised:
        segmentation(spec, Workspace.at(tmp_path / "runs"))
    loss, model = raised.value.problems
    assert loss.key == "space.phases[0].losses[1].term"
    assert "computing it raised ValueError: wider than a tile" in loss.message
    assert model.key is not None
    assert model.key.startswith("model")


def test_losses_and_files_are_told_together(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        (
            "{source: scenes, train: 8, val: 4, test: 2, tile: 64}",
            "{source: folder, root: nowhere, classes: [a, b]}",
        ),
    )
    (tmp_path / "losses_beside_the_sweep.py").unlink()
    sys.modules.pop("losses_beside_the_sweep")
    with pytest.raises(UserError) as raised:
        segmentation(spec, Workspace.at(tmp_path / "runs"))
    assert "there is no module 'losses_beside_the_sweep'" in str(raised.value)
    assert "nowhere" in str(raised.value)


def test_a_confirmation_needs_a_test_split() -> None:
    check_confirmable(1)
    with pytest.raises(UserError, match="reads the test split, and these data have none") as caught:
        check_confirmable(0)
    assert caught.value.problems[0].key == "confirm"


@pytest.mark.parametrize("with_a_gpu", [True, False])
@pytest.mark.parametrize("held", ["", "resources: {gpus_per_trial: 0}\n"])
def test_a_loss_that_would_fail_on_a_gpu_is_named_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_a_gpu: bool, held: str
) -> None:
    mixed = LOSSES.replace("class Edge", "import torch\n\nclass Edge").replace(
        "logits.sigmoid()", "(logits.sigmoid() * torch.ones(64))"
    )
    (tmp_path / "losses_beside_the_sweep.py").write_text(mixed)
    spec = read(tmp_path, ("budget:", f"{held}budget:"))
    device = torch.device("cuda" if with_a_gpu else "cpu")
    monkeypatch.setattr("lossweep.trainers.loop.numerics.best_device", lambda: device)
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
    words = "on a GPU it would compute with a tensor that stays on the CPU, and every trial would fail"
    if held:
        assert check_before_training(spec, prior, 3).suspicions == ()
    elif with_a_gpu:
        with pytest.raises(UserError, match=words) as caught:
            check_before_training(spec, prior, 3)
        assert "losses_beside_the_sweep:Edge" in str(caught.value)
    else:
        assert words in "".join(check_before_training(spec, prior, 3).suspicions)


@pytest.mark.parametrize("with_a_gpu", [True, False])
def test_a_loss_that_waits_in_each_step_is_suspicious_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_a_gpu: bool
) -> None:
    waiting = LOSSES.replace("logits.sigmoid().mean()", "(logits.sigmoid() * logits.mean().item()).mean()")
    (tmp_path / "losses_beside_the_sweep.py").write_text(waiting)
    device = torch.device("cuda" if with_a_gpu else "cpu")
    monkeypatch.setattr("lossweep.trainers.loop.numerics.best_device", lambda: device)
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
    found = check_before_training(read(tmp_path), prior, 3).suspicions
    assert [line.partition(":")[0] for line in found] == [
        "space.phases[0].losses[1].term",
        "space.phases[0].losses[2].sum[1].loss.term",
    ]
    assert "on a GPU each pass would wait for it (item), which is slow" in found[0]


OWN_MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, classes, then):
        super().__init__()
        self.last = nn.Conv2d(channels, classes, 1)
        self.hidden = torch.ones(1)
        self.then = then
    def forward(self, x):
        return self.then(self, self.last(x))

def factory(then):
    return lambda in_channels, classes: Net(in_channels, classes, then)

sound = factory(lambda net, y: y)
hidden = factory(lambda net, y: y * net.hidden)
reads = factory(lambda net, y: y * 2 if y.mean() > 0 else y)
exports = factory(lambda net, y: y + 0.0 * float(y.detach().numpy().mean()))
"""


@pytest.mark.parametrize("with_a_gpu", [True, False])
@pytest.mark.parametrize(
    ("name", "refused", "words"),
    [
        ("sound", False, ""),
        ("hidden", True, "on a GPU it would compute with a tensor that stays on the CPU"),
        ("reads", False, "each pass would wait for it (item), which is slow; what comes after that"),
        ("exports", False, "whether it runs on a GPU can't be seen without one (RuntimeError: .numpy()"),
    ],
)
def test_a_model_of_ones_own_is_rehearsed_as_if_on_a_gpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_a_gpu: bool,
    name: str,
    refused: bool,
    words: str,
) -> None:
    (tmp_path / "model_beside_the_sweep.py").write_text(OWN_MODEL)
    sys.modules.pop("model_beside_the_sweep", None)
    whole = "{encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}"
    spec = read(tmp_path, (whole, f"{{architecture: 'model_beside_the_sweep:{name}'}}"))
    device = torch.device("cuda" if with_a_gpu else "cpu")
    monkeypatch.setattr("lossweep.trainers.loop.numerics.best_device", lambda: device)
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
    if refused and with_a_gpu:
        with pytest.raises(UserError, match=words) as caught:
            check_before_training(spec, prior, 3)
        assert caught.value.problems[0].key == "model.architecture"
        return
    found = check_before_training(spec, prior, 3).suspicions
    assert [words in line for line in found] == ([True] if words else [])
