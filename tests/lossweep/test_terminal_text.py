"""What commands print in an encoding that lacks letters, and of names that hold control characters."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lossweep.__main__ import main
from lossweep.commands.driving import conclude
from lossweep.dashboards.terminal.console import TerminalConsole
from lossweep.dashboards.terminal.encoding import tolerate
from lossweep.dashboards.terminal.next_steps import print_next_steps
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.study.history import SweepHistory
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import LossweepError
from tests.search.small_sweeps import spec

HOSTILE = "véhicule\nrouge\x1b[2J\u202egnp\u2066\r\x9b31m"
SHOWN = r"véhicule\nrouge\x1b[2J\u202egnp\u2066\r\x9b31m"
CLASSES = ("fond – ciel", HOSTILE)

Printed = Callable[..., str]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepHistory]:
    """A home with a sweep of which one trial failed and one diverged, and its file."""
    home = tmp_path_factory.mktemp("swept")
    prior = ClassPrior(names=CLASSES, frequencies=(0.99, 0.01))
    data = {"source": "scenes", "classes": list(CLASSES), "train": 4, "val": 2, "tile": 64}
    sweep = spec(trials=8, data=data)
    trainer = PlantedTrainer(home / "work", planted={1: "exception", 3: "diverge"})
    (home / "small.yaml").write_text(yaml.safe_dump(sweep.model_dump(mode="json")), encoding="utf-8")
    task = TrainingTask(trainer, prior, "sha256:0")
    return home, run_sweep(sweep, Workspace.at(home), task=task)


@pytest.fixture
def home(swept: tuple[Path, SweepHistory], monkeypatch: pytest.MonkeyPatch) -> Path:
    """That home, as commands find it."""
    monkeypatch.setenv("LOSSWEEP_HOME", str(swept[0]))
    monkeypatch.chdir(swept[0])
    return swept[0]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """What something prints on streams of an encoding that are as strict as Python's own."""

    def run(work: Callable[[], object], encoding: str) -> str:
        held = io.BytesIO()
        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(held, encoding=encoding, errors="strict", write_through=True)
            monkeypatch.setattr(sys, name, stream)
        work()
        # Where a stream says it takes ASCII, click thinks it misconfigured and writes UTF-8.
        return held.getvalue().decode("utf-8" if encoding == "ascii" else encoding)

    return run


def command(*words: str) -> Callable[[], int]:
    def run() -> int:
        sys.argv = ["lossweep", *words]
        try:
            main()
        except SystemExit as end:
            code = end.code
            assert isinstance(code, int | None)
            return code or 0
        raise AssertionError("a command ends the process")

    return run


COMMANDS = {
    "list": ("list",),
    "status": ("status", "small"),
    "why": ("why", "small", "1"),
    "why diverged": ("why", "small", "3"),
    "compare": ("compare", "small", "small"),
    "report": ("report", "small", "-o", "small.html"),
    "export": ("export", "small", "-o", "best.yaml"),
    "resume": ("resume", "small"),
    "stop": ("stop", "small"),
    "gc": ("gc", "small", "--dry-run"),
    "losses": ("losses",),
    "schema": ("schema",),
    "space": ("space", "small.yaml"),
    "check": ("check", "small.yaml", "--set", "model.encoder=resnet18"),
    "submit": ("submit", "small.yaml"),
    "help": ("--help",),
}
"""Every command that needs no training and no server."""

TABLES = ("list", "status", "why", "why diverged", "compare", "losses", "help")
"""Those of which every line is drawn by rich."""


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_in_any_encoding_and_passes_no_control_character(
    name: str, encoding: str, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("COLUMNS", "100")
    codes: list[int] = []
    page = printed(lambda: codes.append(command(*COMMANDS[name])()), encoding)
    assert codes in ([0], [2])  # 2 where the sweep is over
    assert "Traceback (most recent call last)" not in page or name == "why"
    assert page.strip()
    assert encoding != "ascii" or name not in TABLES or page.isascii()
    assert not re.findall(r"[^\n -~\xa1-\u2029\u2030-\uffff]", page)
    assert "\u202e" not in page
    assert "\u2066" not in page


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_the_end_of_a_submit_is_printed_in_any_encoding(
    encoding: str, swept: tuple[Path, SweepHistory], home: Path, printed: Printed
) -> None:
    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            tolerate(stream)
        conclude(swept[1], Workspace.at())

    page = printed(end, encoding)
    assert "lossweep confirm small" in page
    assert " - " in page, "a dash stands for what is missing"


def test_a_table_of_classes_keeps_a_line_a_class(
    home: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("COLUMNS", "200")
    page = printed(command("check", "small.yaml"), "utf-8")
    assert next(line.split("  ")[0] for line in page.splitlines() if "rouge" in line) == f"1 {SHOWN}"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_files_content_is_printed_in_the_encoding_of_files(
    encoding: str, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    page = printed(command("export", "small"), encoding).encode("utf-8" if encoding == "ascii" else encoding)
    content = page[page.index(b"format:") :].decode("utf-8")
    assert yaml.safe_load(content)["classes"] == list(CLASSES)


@pytest.mark.parametrize("width", [60, 100, 400])
def test_a_command_to_be_copied_is_never_broken(width: int, tmp_path: Path) -> None:
    long = " --home " + str(tmp_path / ("x" * 90))
    steps = {f"lossweep resume small{long}": "go on where it stopped", f"lossweep status small{long}": "see"}
    console = TerminalConsole(file=io.StringIO(), width=width)
    print_next_steps(steps, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # a StringIO
    for step, purpose in steps.items():
        [line] = [line for line in lines if step in line]
        assert (purpose in line) == (width == 400)
        assert any(purpose in line for line in lines)


def test_an_error_with_control_characters_is_told_by_its_lines(
    monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    def fail() -> None:
        raise LossweepError("first\x1b]0;title\x07\nsecond\u202e")

    monkeypatch.setattr("lossweep.commands.app", fail)
    page = printed(command(), "utf-8")
    assert page.splitlines() == [r"first\x1b]0;title\x07", r"second\u202e"]


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_in_a_process_of_its_own_as_a_user_has_it() -> None:
    for encoding in ("latin-1", "ascii"):
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        run = subprocess.run(
            [sys.executable, "-m", "lossweep", "status", "small"],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert b"small  finished  8/8 trials" in run.stdout
