"""One small real sweep from the command line: confirmed, confirmed with more seeds, exported and replayed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import load_file

from lossweep.commands.confirm import asked_for
from lossweep.commands.driving import drive
from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.study.confirmation import Arm, Confirmation, ConfirmationPlan, Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.verdicts.result import verdict_of
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import load_schedule
from tests.lossweep.small_sweep import Run, recorded
from tests.search.confirmed_sweeps import TOP_HEAVY, sweep
from tests.search.small_sweeps import spec

SWEEP = """\
name: small
seed: 3
data: {source: scenes, tile: 64, train: 8, val: 4, test: 4}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
space: {preset: single}
sampler: {sampler: random}
objective: {use_case: balanced}
pruning: {pruner: none}
budget: {trials: 4, epochs: 2}
resources: {runner: inline}
controls: {at_least: 1, named: [jaccard]}
"""


def test_what_is_not_given_stays_as_it_was() -> None:
    none = {"top": None, "seeds": None, "margin": None}
    assert asked_for(none, None, None) == ConfirmSpec()
    assert asked_for({**none, "top": 1}, None, ConfirmSpec(seeds=9)) == ConfirmSpec(top=1, seeds=9)
    schedule = LossSchedule.parse("jaccard @1e-3 x2")
    arms = (Arm(Role.CONTROL, 0, schedule), Arm(Role.LEADER, 1, schedule), Arm(Role.LEADER, 2, schedule))
    last = Confirmation(ConfirmationPlan(arms, seeds=4, margin=0.02, searched=9), ())
    assert asked_for({**none, "seeds": 6}, last, ConfirmSpec()) == ConfirmSpec(top=2, seeds=6, margin=0.02)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("confirm")


@pytest.mark.slow
def test_a_sweep_is_confirmed_and_more_seeds_keep_what_was_trained(home: Path, lossweep: Run) -> None:
    (home / "small.yaml").write_text(SWEEP)
    assert lossweep("submit", "small.yaml")[0] == 0
    searched = recorded(home)
    assert searched.confirmation is None
    code, out, error = lossweep("export", "small", "-o", "unconfirmed.yaml")
    assert (code, out) == (0, "wrote unconfirmed.yaml; train with it: lossweep train unconfirmed.yaml\n")
    assert error.rstrip().endswith("To confirm it: lossweep confirm small")

    code, out, _ = lossweep("confirm", "small", "--top", "1", "--seeds", "2")
    assert code == 0, out
    assert "has been read" not in out
    first = recorded(home)
    assert first.state == "finished"
    assert first.trials == searched.trials, "the search is as it was"
    assert first.confirmation is not None
    assert (first.confirmation.plan.seeds, first.confirmation.complete) == (2, True)
    assert "over 2 fresh seeds" in out

    code, out, _ = lossweep("confirm", "small", "--seeds", "3")
    assert code == 0, out
    second = recorded(home)
    assert second.confirmation is not None
    reads = first.confirmation.reads
    assert out.startswith(f"The test split has been read {reads} times already")
    assert f"The test split had been read {reads} times before" in out
    assert second.confirmation.plan.arms == first.confirmation.plan.arms
    assert second.confirmation.trials[: len(first.confirmation.trials)] == first.confirmation.trials
    arms = len({arm.schedule for arm in second.confirmation.plan.arms})
    assert (reads, second.confirmation.reads) == (2 * arms, 3 * arms)
    assert "over 3 fresh seeds" in out


@pytest.mark.slow
def test_the_export_is_replayed_bit_for_bit(home: Path, lossweep: Run) -> None:
    history = recorded(home)
    verdict = verdict_of(history)
    assert verdict is not None
    code, out, error = lossweep("export", "small", "-o", "best.yaml")
    assert code == 0, error
    best = load_schedule(home / "best.yaml")
    assert best.schedule.phases == verdict.simplest.arm.schedule.phases
    assert best.provenance["confirmed"]["n"] == 3
    assert str(home) not in (home / "best.yaml").read_text()
    code, out, error = lossweep("replay", "best.yaml")
    assert code == 0, out + error
    assert re.search(
        r"^reproduced bit for bit: tuned_f1 \d\.\d{6} after epoch 2, all \d+ figures$", out, re.M
    )
    after = recorded(home).confirmation
    assert after is not None
    assert history.confirmation is not None
    assert after.reads == history.confirmation.reads
    text = (home / "best.yaml").read_text()
    (home / "other.yaml").write_text(text.replace(f"seed: {best.provenance['seed']}", "seed: 1"))
    code, _, error = lossweep("replay", "other.yaml")
    assert (code, len(error.splitlines())) == (2, 1)


@pytest.mark.slow
def test_weights_are_exported_at_a_floor_with_a_card(home: Path, lossweep: Run) -> None:
    code, _, error = lossweep(
        "export",
        "small",
        "--at",
        "recall>=0.9",
        "--checkpoint",
        "best.safetensors",
        "--format",
        "json",
        "-o",
        "best.json",
    )
    assert code == 0, error
    best = load_schedule(home / "best.json")
    assert best.provenance["threshold_of"] == "precision_at_recall_0.9"
    assert best.provenance["at_threshold"]["recall"] >= 0.9
    assert best.logit_threshold is not None
    card = (home / "best.md").read_text()
    assert str(home) not in card
    for part in ("sha256:", "background", "precision_at_recall_0.9", "## Licence", "tuned_f1"):
        assert part in card
    code_block = card.partition("```python\n")[2].partition("```")[0]
    names = {"images": torch.zeros(1, 3, 64, 64)}
    exec(code_block, names)
    assert names["mask"].shape == (1, 64, 64)
    assert load_file(home / "best.safetensors").keys() == names["model"].state_dict().keys()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_needs_a_checkpoint_says_when_it_is_gone(home: Path, lossweep: Run) -> None:
    for checkpoint in (home / "runs" / "checkpoints").rglob("*.checkpoint"):
        checkpoint.unlink()
    for words in (["--at", "precision>=0.31"], ["--checkpoint", "gone.safetensors"]):
        code, _, error = lossweep("export", "small", *words, "-o", "gone.yaml")
        assert code == 2, error
        assert "has no checkpoint of epoch" in error.splitlines()[-1]
    for words in (["--trial", "0", "--nominal-best"], ["--checkpoint", "x.pt"], ["--at", "f1>=1"]):
        code, _, error = lossweep("export", "small", *words)
        assert (code, len(error.splitlines())) == (2, 1)


@pytest.mark.parametrize(("seeds", "code"), [(4, 0), (5, 130)])
def test_a_confirmation_that_was_cut_short_ends_as_an_interrupted_sweep_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int, code: int
) -> None:
    history = sweep(TOP_HEAVY)
    assert history.confirmation is not None
    plan = replace(history.confirmation.plan, seeds=seeds)
    came_of = replace(
        history, confirmation=replace(history.confirmation, plan=plan), state=SweepState.INTERRUPTED
    )
    asked: list[ConfirmSpec] = []

    def run_sweep(*_: object, confirm: ConfirmSpec, **__: object) -> SweepHistory:
        asked.append(confirm)
        return came_of

    monkeypatch.setattr("lossweep.search.running.driver.run_sweep", run_sweep)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    wanted = ConfirmSpec(top=1, seeds=seeds)
    ended = 0
    try:
        drive(spec(), Workspace.at(tmp_path), resume=True, confirm=wanted)
    except typer.Exit as stopped:
        ended = stopped.exit_code
    assert (asked, ended) == ([wanted], code)
