"""Submitting and resuming what exists already: what is said, what is asked, and what is refused."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from sqlalchemy import update

from lossweep.__main__ import main
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease
from lossweep.search.ledger.tables import SweepRow
from lossweep.search.running.driver import create_sweep, run_sweep
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from tests.search.small_sweeps import PRIOR, spec, task

Said = tuple[int, str, str]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The ledger of a workspace with a sweep of which nothing has run yet, and its file."""
    monkeypatch.setenv("LOSSWEEP_HOME", str(tmp_path / "runs"))
    ledger = Ledger(Workspace.at().database_url)
    create_sweep(ledger, spec(), PRIOR)
    return ledger


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SweepSpec, bool]]:
    """What would have been driven, and whether resumed."""
    driven: list[tuple[SweepSpec, bool]] = []

    def drive(spec: SweepSpec, workspace: Workspace, resume: bool, **options: bool) -> None:
        driven.append((spec, resume))

    monkeypatch.setattr("lossweep.commands.driving.drive", drive)
    return driven


@pytest.fixture
def lossweep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command line, with an answer from a terminal or with nobody there."""

    def run(*words: str, answer: str | None = None) -> Said:
        stdin = io.StringIO(answer)
        monkeypatch.setattr(stdin, "isatty", lambda: answer is not None)
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "argv", ["lossweep", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err  # type: ignore[return-value]

    return run


def sweep_file(folder: Path, **changes: object) -> str:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(spec(**changes).model_dump(mode="json")))  # type: ignore[arg-type]
    return str(path)


def test_submitting_an_unfinished_sweep_says_what_would_happen_and_asks(
    tmp_path: Path, ledger: Ledger, driven: list[tuple[SweepSpec, bool]], lossweep: Callable[..., Said]
) -> None:
    file = sweep_file(tmp_path, trials=9)
    code, out, _ = lossweep("submit", file, answer="n\n")
    assert (code, driven) == (0, [])
    assert "0 unfinished trials from their checkpoints and start 9 new ones, by the new budget" in out
    code, _, error = lossweep("submit", file)
    assert (code, driven, len(error.splitlines())) == (2, [], 1)
    assert "start 9 new ones" in error
    assert "--yes" in error
    lossweep("submit", file, answer="y\n")
    lossweep("submit", file, "--yes")
    assert [(one.budget.trials, resume) for one, resume in driven] == [(9, True)] * 2


def test_former_winners_are_written_into_the_sweep(
    tmp_path: Path, ledger: Ledger, driven: list[tuple[SweepSpec, bool]], lossweep: Callable[..., Said]
) -> None:
    code, _, error = lossweep("submit", sweep_file(tmp_path), "--name", "next", "--warm-start", "small")
    assert (code, driven) == (2, [])
    assert "no trial of sweep small has completed yet" in error
    swept = run_sweep(spec(), Workspace.at(), resume=True, task=task(tmp_path / "work", fingerprint=""))
    (tmp_path / "best.yaml").write_text("phases: [{loss: {term: dice}, learning_rate: 0.1, epochs: 9}]")
    words = ["--warm-start", "small", "--warm-start", str(tmp_path / "best.yaml")]
    code, _, error = lossweep("submit", sweep_file(tmp_path), "--name", "next", *words)
    assert (code, error) == (0, "")
    ((submitted, resume),) = driven
    former = swept.contender()
    assert former is not None
    assert submitted.former_winners[0] == former.schedule
    assert str(submitted.former_winners[1]) == "dice @0.1 x9"
    assert not resume
    code, _, error = lossweep("submit", sweep_file(tmp_path), "--name", "other", "--warm-start", "smal")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "small" in error


def test_another_sweep_under_the_name_is_refused_before_anything_is_asked(
    tmp_path: Path, ledger: Ledger, driven: list[tuple[SweepSpec, bool]], lossweep: Callable[..., Said]
) -> None:
    code, out, error = lossweep("submit", sweep_file(tmp_path, seed=9), answer="y\n")
    assert (code, out) == (2, "")
    assert error.startswith("seed: differs from the sweep as submitted")
    code, _, error = lossweep("resume", "small", "--set", "pruning.pruner=no.such:Pruner")
    assert code == 2
    assert "there is no module 'no'" in error
    assert driven == []
    assert (ledger.sweep("small").state, spec().pruning.pruner) == ("created", "none")


def test_a_sweep_that_is_being_driven_is_left_alone(
    tmp_path: Path, ledger: Ledger, driven: list[tuple[SweepSpec, bool]], lossweep: Callable[..., Said]
) -> None:
    with Lease(ledger, "small", lambda reason, kind: None):
        for words in (("submit", sweep_file(tmp_path)), ("resume", "small"), ("gc", "small")):
            code, _, error = lossweep(*words, answer="y\n")
            assert (code, len(error.splitlines())) == (2, 1), words
            assert "is already driven by process" in error
    assert driven == []


def test_hours_that_are_spent_are_said_and_may_be_raised(
    tmp_path: Path, ledger: Ledger, driven: list[tuple[SweepSpec, bool]], lossweep: Callable[..., Said]
) -> None:
    study_id = ledger.storage.get_study_id_from_name("small")
    ledger.storage.set_study_user_attr(study_id, "seconds", 7300.0)
    code, out, _ = lossweep("resume", "small", "--set", "budget.hours=2")
    assert code == 0
    assert "has spent its hours" in out
    assert "--set budget.hours=H" in out
    assert driven == []
    lossweep("resume", "small", "--set", "budget.hours=3")
    assert len(driven) == 1


def test_what_failed_is_named_and_tried_again_when_asked(
    tmp_path: Path, ledger: Ledger, driven: list[tuple[SweepSpec, bool]], lossweep: Callable[..., Said]
) -> None:
    broken = task(tmp_path / "work", {5: "exception"}, fingerprint="")
    run_sweep(spec(), Workspace.at(), resume=True, task=broken)
    code, out, _ = lossweep("resume", "small")
    assert (code, driven) == (0, [])
    assert out.splitlines()[-1] == "To try what failed again: lossweep resume small --retry-failed"
    file = sweep_file(tmp_path)
    assert lossweep("submit", file, "--yes")[0] == 2
    lossweep("resume", "small", "--retry-failed")
    lossweep("submit", file, "--yes", "--retry-failed")
    assert [resume for _, resume in driven] == [True, True]
    run_sweep(
        spec(), Workspace.at(), resume=True, retry_failed=True, task=task(tmp_path / "work", fingerprint="")
    )
    _, out, _ = lossweep("why", "small", "5")
    assert re.search(r"tried again as +trial 7$", out, re.MULTILINE)
    _, out, _ = lossweep("why", "small", "7")
    assert re.search(r"another try of +trial 5$", out, re.MULTILINE)
    _, out, _ = lossweep("status", "small")
    assert "7/7 trials" in out
    code, out, _ = lossweep("resume", "small", "--retry-failed")
    assert (code, "--retry-failed" in out) == (0, False)


def test_why_is_told_without_mlflow_too(
    tmp_path: Path, ledger: Ledger, lossweep: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep(spec(), Workspace.at(), resume=True, task=task(tmp_path / "work", fingerprint=""))
    (tmp_path / "runs" / "mlflow.db").write_bytes(b"no database" * 99)
    code, out, error = lossweep("why", "small", "0")
    assert (code, error) == (0, "")
    assert "control cross_entropy" in out
    assert "not looked up: MLflow's store: no SQLite database" in " ".join(out.split())


@pytest.mark.parametrize("command", [["export", "small"], ["report", "small"], ["compare", "small", "small"]])
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, ledger: Ledger, lossweep: Callable[..., Said], command: list[str]
) -> None:
    run_sweep(spec(trials=5), Workspace.at(), resume=True, task=task(tmp_path / "work", fingerprint=""))
    for target, why in ((tmp_path / "none" / "x", "its folder is missing"), (tmp_path, "is a folder")):
        code, _, error = lossweep(*command, "-o", str(target))
        assert (code, error) == (2, f"--output: {why}; found {target}\n")


def test_no_model_is_trained_that_cannot_be_written(tmp_path: Path, lossweep: Callable[..., Said]) -> None:
    code, _, error = lossweep("train", "best.yaml", "-o", str(tmp_path / "none" / "model.pt"))
    assert code == 2
    assert error.startswith("--output: its folder is missing")


def test_a_file_that_another_version_wrote_is_one_line(ledger: Ledger, lossweep: Callable[..., Said]) -> None:
    written = ledger.sweep("small").spec_yaml
    other = {"spec_yaml": written.replace("use_case", "useful_case"), "code_version": "9.0"}
    ledger.do(lambda session: session.execute(update(SweepRow).values(other)))
    for words in (["status", "small"], ["resume", "small"], ["export", "small"]):
        code, _, error = lossweep(*words)
        assert (code, len(error.splitlines())) == (2, 1), words
        assert "written by lossweep 9.0" in error
    # Of all sweeps this is one, and the others are no less worth telling of.
    for command, exit_code in (("list", 0), ("doctor", 1)):
        code, out, error = lossweep(command)
        assert (code, len((out + error).splitlines())) == (exit_code, 1), command
        assert "written by lossweep 9.0" in out + error
