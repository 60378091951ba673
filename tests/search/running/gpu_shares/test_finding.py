"""The share of a GPU that trials hold where the sweep file doesn't say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lossweep.search.ledger import Ledger
from lossweep.search.running import driver
from lossweep.search.running.gpu_shares import finding, measuring
from lossweep.search.running.gpu_shares.choice import Measured
from lossweep.search.running.gpu_shares.finding import share_of_a_gpu
from lossweep.search.running.gpu_shares.measuring import Rounds
from lossweep.search.running.task import TrainingTask
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.trainers import gpu
from lossweep.trainers.trial import SegmentationTrainer
from tests.search.small_sweeps import PRIOR

SWEEP: dict[str, Any] = {
    "name": "shared",
    "data": {"source": "scenes", "train": 8, "val": 4, "test": 2, "tile": 64},
    "model": {"encoder": "tu-test_resnet", "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}},
    "space": {"learning_rate": 1e-3, "phases": [{"losses": [{"term": "jaccard"}]}]},
    "objective": {"use_case": "balanced"},
    "budget": {"trials": 16, "epochs": 2},
}
FOUND = Rounds((Measured(1, 100.0, 2**30), Measured(2, 180.0, 2**30), Measured(4, 190.0, 2**30)))


class Measuring:
    """Stands in for the measurement.

    Attributes:
        asked: which counts, each time.
    """

    def __init__(self, found: Rounds = FOUND) -> None:
        self.found = found
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, trial: Any, counts: tuple[int, ...], **_: Any) -> Rounds:
        self.asked.append(counts)
        return self.found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    """One of eight cores and a GPU."""
    stand_in = Measuring()
    monkeypatch.setattr(measuring, "measure", stand_in)
    monkeypatch.setattr(gpu, "card", lambda: "NVIDIA H100 (80 GiB)")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(finding.os, "cpu_count", lambda: 8)
    return stand_in


def share(tmp_path: Path, fingerprint: str = "sha256:1", **changes: Any) -> float | None:
    spec = SweepSpec.model_validate(SWEEP | changes)
    workspace = Workspace.at(tmp_path)
    return share_of_a_gpu(spec, workspace, SegmentationTrainer(spec.data, workspace.cache, None), fingerprint)


def test_the_share_is_measured_once_and_said_each_time(
    tmp_path: Path, machine: Measuring, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert share(tmp_path) == 0.5
    assert machine.asked == [(1, 2, 4, 8)]
    lines = [record.message for record in caplog.records]
    assert lines[0].startswith("Measuring how many trials share a GPU well, for 60 s at most;")
    assert len(lines) == 3
    for line in lines[1:]:
        assert "on NVIDIA H100 (80 GiB)" in line
        assert "1 100 (1.0 GiB each), 2 180 (1.0 GiB each), 4 190 (1.0 GiB each)" in line
        assert "So 2 trials at a time on each GPU" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"batch": 16}},
        {"model": {"encoder": "resnet18"}},
        {"fingerprint": "sha256:2"},
        {"resources": {"parallel": 4}},
        {"card": "NVIDIA L4 (24 GiB)"},
    ],
)
def test_it_is_measured_anew_for_another_plan_or_card(
    tmp_path: Path, machine: Measuring, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    share(tmp_path)
    if "card" in changes:
        monkeypatch.setattr(gpu, "card", lambda: changes["card"])
    share(tmp_path, **{key: value for key, value in changes.items() if key != "card"})
    assert len(machine.asked) == 2


def test_another_sweep_of_the_same_plan_finds_it(tmp_path: Path, machine: Measuring) -> None:
    for changes in ({}, {"name": "another", "seed": 5, "budget": {"trials": 32, "epochs": 9}}):
        assert share(tmp_path, **changes) == 0.5
    assert len(machine.asked) == 1


@pytest.mark.parametrize(
    ("resources", "card"),
    [
        ({}, None),
        ({"gpus_per_trial": 0}, "NVIDIA"),
        ({"gpus_per_trial": 0.25}, "NVIDIA"),
        ({"gpus_per_trial": 1}, "NVIDIA"),
        ({"runner": "inline"}, "NVIDIA"),
    ],
)
def test_nothing_is_measured_where_there_is_nothing_to_choose(
    tmp_path: Path,
    machine: Measuring,
    monkeypatch: pytest.MonkeyPatch,
    resources: dict[str, Any],
    card: str | None,
) -> None:
    monkeypatch.setattr(gpu, "card", lambda: card)
    assert share(tmp_path, resources=resources) is None
    assert machine.asked == []
    assert not (tmp_path / "cache").exists()


def test_one_trial_is_all_that_fits(tmp_path: Path, machine: Measuring) -> None:
    assert share(tmp_path, resources={"parallel": 1}) == 1.0
    assert machine.asked == []


def test_what_could_not_all_be_measured_is_used_and_not_kept(
    tmp_path: Path, machine: Measuring, caplog: pytest.LogCaptureFixture
) -> None:
    machine.found = Rounds(FOUND.measured[:2], note="the time was over")
    assert share(tmp_path) == 0.5
    assert "Not all could be measured: the time was over" in caplog.text
    machine.found = Rounds((), note="ValueError: broken")
    assert share(tmp_path) is None
    machine.found = Rounds((), short=True)
    assert share(tmp_path) is None
    assert len(machine.asked) == 3


def test_a_torn_file_is_measured_over(tmp_path: Path, machine: Measuring) -> None:
    share(tmp_path)
    (file,) = (tmp_path / "cache" / "gpu-shares").iterdir()
    for text in ("{", "{}", '{"card": "x", "measured": [{"trials": 1}], "short": false}'):
        file.write_text(text)
        assert share(tmp_path) == 0.5
    assert len(machine.asked) == 4


def test_the_driver_asks_before_ray_and_counts_by_the_share(
    tmp_path: Path, machine: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster that is joined, this machine's figures say nothing."""
    held: list[float | None] = []

    class Runner:
        def run(self, dispatcher: Any, trainer: Any) -> None:
            pass

    def runner_for(spec: Any, workspace: Any, cluster: Any, gpu_share: float | None) -> Runner:
        held.append(gpu_share)
        return Runner()

    spec, workspace = SweepSpec.model_validate(SWEEP), Workspace.at(tmp_path)
    task = TrainingTask(SegmentationTrainer(spec.data, workspace.cache, None), PRIOR, "sha256:0")
    monkeypatch.setattr(driver, "runner_for", runner_for)
    monkeypatch.setattr(driver, "segmentation", lambda *_: task)
    driver.run_sweep(spec, workspace, on_signal=False)
    ledger = Ledger(workspace.database_url)
    assert ledger.sweep("shared").slots == 0.5
    machine.found = Rounds(FOUND.measured[:1])
    for file in (tmp_path / "cache" / "gpu-shares").iterdir():
        file.unlink()
    driver.run_sweep(spec, workspace, on_signal=False, resume=True)
    assert ledger.sweep("shared").slots == 1.0
    driver.run_sweep(spec, workspace, on_signal=False, resume=True, cluster="auto")
    assert held == [0.5, 1.0, None]
    ledger.close()
