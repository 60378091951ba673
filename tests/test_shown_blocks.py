"""Every block of commands or code that README and docs/ show is run by a test, or says why it can't be.

Right above a block stands ``<!-- run: tests/FILE.py -->``, or ``<!-- not run: REASON -->``. Those that
name this file are run here as they stand: commands on one small real sweep, code with stand-ins for what
it takes as given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image

from lossweep.__main__ import main
from lossweep.commands import app
from lossweep.search.conducting.plans import template_of
from lossweep.search.running.driver import run_sweep
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.guards import build_guards
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.trial import SegmentationTrainer
from tests.search.small_sweeps import PRIOR, spec, task
from tests.search.sweeps import evaluation
from tests.shown_blocks import ROOT, Block, shown_blocks

BLOCKS = shown_blocks()
HERE = f"tests/{Path(__file__).name}"
SHELL = [block for block in BLOCKS if block.language != "python"]

named = pytest.mark.parametrize("block", BLOCKS, ids=str)


@named
def test_it_is_run_by_a_test_or_says_why_it_can_not_be(block: Block) -> None:
    if any(mark in ("command: demo", "command: test") for mark in block.marks):
        return  # README's two installations: tests/test_readme.py holds them, .ci/run runs the second
    how = f"put <!-- run: {HERE} --> above it, another file of tests, or <!-- not run: why -->"
    assert (block.run_by is None) != (block.reason is None), f"{block}: {how}"
    if block.reason is not None:
        assert len(block.reason.split()) >= 2, f"{block}: that is no reason: {block.reason}"
        return
    runs = ROOT / str(block.run_by)
    assert runs.is_file(), f"{block}: there is no {block.run_by}"
    code = runs.read_text(encoding="utf-8")
    if block.run_by == HERE:
        return
    reads = Path(block.page).name in code
    for words in () if reads or block.language == "python" else block.lossweep:
        assert f'"{words[0]}"' in code, f"{block}: {block.run_by} does not run lossweep {words[0]}"
    if block.language == "python" and not reads:
        (called,) = [name for name in ("mlflow.pyfunc.load_model",) if name in block.text]
        assert called in code, f"{block}: {block.run_by} neither reads the page nor calls {called}"


@pytest.mark.parametrize(
    "marks", [(), ("run: tests/none.py",), ("not run: no",), ("run: tests/test_style.py",)], ids=str
)
def test_a_new_block_with_neither_or_with_less_is_refused(marks: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=r"README\.md:1"):
        test_it_is_run_by_a_test_or_says_why_it_can_not_be(
            Block("README.md", 1, "bash", "lossweep list\n", marks)
        )


@pytest.mark.parametrize("block", [block for block in SHELL if any(block.lossweep)], ids=str)
def test_its_commands_are_understood(block: Block) -> None:
    """By the parser that ``lossweep`` has, types, ranges and all that a command needs included."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in block.lossweep:
        assert words[0] in commands, words
        commands[words[0]].make_context(words[0], list(words[1:]))


SWEEP = """\
name: vehicles
seed: 3
data: {source: scenes, tile: 64, train: 8, val: 4, test: 4}
model: {encoder: tu-test_resnet, options: {encoder_depth: 3, decoder_channels: [16, 8, 8]}}
training: {batch: 4}
space: {preset: single}
sampler: {sampler: random}
objective: {use_case: balanced}
pruning: {pruner: none}
budget: {trials: 8, epochs: 1}
resources: {runner: inline}
controls: {at_least: 2, named: []}
confirm: {top: 1, seeds: 2}
"""
"""A sweep of README's name, as small as one can be; its trial 12 is one that confirms."""

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with what the blocks take as given, but for the sweep that README's submits."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "vehicles.yaml").write_text(SWEEP)
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "images" / "a.png")
    run_sweep(spec("vehicles-2", trials=2), Workspace.at(folder / "runs"), task=task(folder / "work"))
    return folder


@pytest.fixture
def lossweep(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in that folder; returns exit code and what was said."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("LOSSWEEP_HOME", str(home / "runs"))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return run


_UNTRAINED = {"publish": "nothing was registered", "export": "no threshold reaches this floor"}
"""What one epoch and two seeds may not be enough for, and what is said then."""


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in SHELL if block.run_by == HERE], ids=str)
def test_its_commands_run_as_they_stand(block: Block, lossweep: Run) -> None:
    """In the order of the pages: README's first block makes the sweep that the others are about."""
    for words in block.lossweep:
        # It would serve until Ctrl-C.
        code, said = lossweep(*words, *(("--links",) if words[0] == "dashboard" else ()))
        assert "Traceback" not in said, said
        if code == 2 and _UNTRAINED.get(words[0], "?") in said:
            continue
        assert code == 0, f"{words}: {said}"


def _noted(**given: Any) -> SimpleNamespace:
    return SimpleNamespace(**given)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python" and block.run_by == HERE], ids=str
)
def test_its_code_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schedule = LossSchedule.parse("weighted_ce(power=1) @1e-3 until recall>=0.9 in 1..3 -> jaccard @1e-4 x1")
    best = ScheduleFile(
        phases=schedule.phases,
        cycles=schedule.cycles,
        epochs=4,
        classes=PRIOR.names,
        frequencies=PRIOR.frequencies,
    )
    (tmp_path / "best.yaml").write_text(best.to_yaml())
    exec(compile(block.text, str(block), "exec"), _given(block.text, tmp_path))


def _given(code: str, folder: Path) -> dict[str, Any]:
    """What a block takes as given: as real as the block needs it."""
    given: dict[str, Any] = {
        "device": torch.device("cpu"),
        "recall": 0.5,
        "model": torch.nn.Conv2d(3, 1, 1),
        "lightning": _noted(Trainer=_noted),
        "Trainer": lambda *_, **named: _noted(**named),
        "TrainingArguments": lambda *_, **named: _noted(**named),
    }
    if "build_guards" in code:
        given |= {
            "build_guards": build_guards,
            "spec": _noted(guards=GuardSpec()),
            "data": _noted(prior=PRIOR),
            "step": 1,
            "loss": 0.5,
            "comparable": 0.5,
            "gradient_norm": 1.0,
            "scaler_skipped": False,
            "evaluation": evaluation(1),
            "measured": _noted(positives=3),
        }
    if "train(plan, data" in code:
        (folder / "tiny.yaml").write_text(SWEEP)
        tiny = SweepSpec.load(folder / "tiny.yaml")
        plan = template_of(tiny).plan(0, 0, LossSchedule.parse("jaccard @1e-3 x1"))
        data = SegmentationTrainer(tiny.data, folder / "cache", None).data()
        given |= {"plan": plan, "data": data}
    return given
