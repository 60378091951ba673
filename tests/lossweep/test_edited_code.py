"""A sweep whose own loss is edited twice: once it interrupts itself, once it is broken, then it is mended."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lossweep.search.ledger import Ledger
from lossweep.search.workspace import Workspace

LOSS = """\
import os, signal

import torch


class Soft(torch.nn.Module):
    calls = 0

    def forward(self, logits, target):
        self.calls += 1
        if self.calls == 5:
            {at_the_fifth_step}
        return (logits.squeeze(1).sigmoid() - target.clamp(max=1)).abs().mean()
"""
SWEEP = """\
name: own
data: {source: scenes, tile: 64, train: 8, val: 4}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
space: {phases: [{losses: [{term: "my_loss:Soft"}], learning_rate: {low: 1e-4, high: 1e-1, log: true}}]}
controls: {search: false, named: []}
objective: {use_case: balanced}
pruning: {pruner: none}
sampler: {sampler: random}
budget: {trials: 2, epochs: 4}
resources: {runner: inline}
"""


@pytest.mark.slow
def test_what_had_begun_begins_anew_and_what_failed_is_tried_again_when_asked(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    there = {**os.environ, "LOSSWEEP_HOME": str(tmp_path / "runs"), "OMP_NUM_THREADS": "1"}
    there["COLUMNS"] = "200"

    def lossweep(at_the_fifth_step: str, *words: str) -> tuple[int, str]:
        (tmp_path / "my_loss.py").write_text(LOSS.format(at_the_fifth_step=at_the_fifth_step))
        command = [sys.executable, "-m", "lossweep", *words]
        said = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True)
        return said.returncode, said.stdout + said.stderr

    code, said = lossweep("os.kill(os.getpid(), signal.SIGINT)", "submit", "sweep.yaml")
    assert code == 130, said

    code, said = lossweep("raise ArithmeticError('mine')", "resume", "own")
    assert code == 1, said
    (told,) = [line for line in said.splitlines() if "The code of my_loss:Soft has changed" in line]
    assert told.endswith("begun trials begin anew as new ones: 0.")
    assert "Once that is mended: lossweep resume own --retry-failed" in said

    code, said = lossweep("pass", "resume", "own", "--retry-failed")
    assert code == 0, said
    with closing(Ledger(Workspace.at(tmp_path / "runs").database_url)) as ledger:
        history = ledger.history("own")
    assert [trial.outcome for trial in history.trials] == ["failed"] * 3 + ["completed"] * 2
    assert [trial.retries for trial in history.trials] == [None, 0, None, 1, 2]
    interrupted, anew, _, last, _ = history.trials
    assert interrupted.evaluations
    assert len({trial.code["my_loss:Soft"] for trial in (interrupted, anew, last)}) == 3
    assert {trial.seed for trial in (interrupted, anew, last)} == {interrupted.seed}
    assert history.state == "finished"
