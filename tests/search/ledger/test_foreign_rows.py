"""Rows that lossweep did not write, or that were damaged: named, and in nobody else's way."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import optuna
import pytest
from small_sweeps import PRIOR, spec, task, workspace
from sqlalchemy import create_engine, text

from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import create_sweep, run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.upkeep.doctor import examine
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError


def foreign(ledger: Ledger, name: str, direction: str = "maximize", trials: int = 0) -> optuna.Study:
    """A study that somebody made with Optuna itself in the same database."""
    study = optuna.create_study(study_name=name, storage=ledger.storage, direction=direction)
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=trials)
    return study


def tables(ledger: Ledger) -> dict[str, int]:
    """How many rows there are of what a new sweep is made of."""
    with ledger.storage.engine.connect() as connection:
        names = ("lossweep_sweeps", "studies", "study_directions", "study_user_attributes")
        return {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in names}


@pytest.mark.parametrize(("direction", "trials"), [("maximize", 2), ("minimize", 0)])
def test_a_name_that_optuna_alone_has_given_is_taken(ledger: Ledger, direction: str, trials: int) -> None:
    study = foreign(ledger, "small", direction, trials)
    before = tables(ledger)
    with pytest.raises(UserError, match=r"a study named small that lossweep did not make.*another name"):
        create_sweep(ledger, spec(), PRIOR)
    assert tables(ledger) == before
    assert ledger.names() == ()
    assert len(study.trials) == trials


def test_a_taken_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    where = workspace(tmp_path / "home")
    ledger = Ledger(where.database_url)
    foreign(ledger, "small")
    before = tables(ledger)
    with pytest.raises(UserError, match="lossweep did not make"):
        existing_sweep(where, "small", spec())
    with pytest.raises(UserError, match="lossweep did not make"):
        run_sweep(spec(), where, task=task(tmp_path / "work"))
    assert tables(ledger) == before
    ledger.close()
    assert {path.name.partition("-")[0] for path in where.root.iterdir()} == {
        "lossweep.db",
        "lossweep.db.lock",
    }


def test_a_study_of_another_direction_is_never_gone_on_with(ledger: Ledger) -> None:
    create_sweep(ledger, spec(), PRIOR)
    optuna.delete_study(study_name="small", storage=ledger.storage)
    foreign(ledger, "small", "minimize")
    from lossweep.search.running.driver import _study

    with pytest.raises(UserError, match="other directions; found minimize; allowed: maximize"):
        _study(ledger, spec())


def test_one_of_many_that_take_a_name_at_once_gets_it(ledger: Ledger) -> None:
    _ = ledger.storage
    together = Barrier(4)

    def take(_: int) -> str:
        together.wait()
        try:
            return create_sweep(ledger, spec(), PRIOR).name
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(take, range(4)))
    assert said.count("small") == 1
    assert sum("already a sweep named small" in each for each in said) == 3


SWEEP = "UPDATE lossweep_sweeps SET {} WHERE name = 'broken'"
ITS = "sweep_id = (SELECT id FROM lossweep_sweeps WHERE name = 'broken')"
EVALUATION = f"UPDATE lossweep_evaluations SET {{}} WHERE {ITS}"
DECISION = f"UPDATE lossweep_decisions SET {{}} WHERE {ITS}"
TRIALS = (
    "trial_id IN (SELECT trial_id FROM trials JOIN studies ON trials.study_id = studies.study_id "
    "WHERE study_name = 'broken')"
)
ATTRIBUTE = f"UPDATE trial_user_attributes SET {{}} AND {TRIALS}"

DAMAGE = {
    "a state of another version": SWEEP.format("state = 'pausing'"),
    "a prior that is no JSON": SWEEP.format("prior = '{\"names\": ['"),
    "a prior of another version": SWEEP.format("prior = '{\"version\": 2}'"),
    "a moment that is none": SWEEP.format("created = 'yesterday'"),
    "a file that is no YAML": SWEEP.format("spec_yaml = 'a: ['"),
    "a file that is a word": SWEEP.format("spec_yaml = 'word'"),
    "a file of another version": SWEEP.format("spec_yaml = 'objective: {use_case: flying}'"),
    "a lease that is no JSON": SWEEP.format("lease = '{'"),
    "a lease of another version": SWEEP.format("lease = '{\"node\": 1}'"),
    "an evaluation that is no JSON": EVALUATION.format("data = '{\"step\": '"),
    "an evaluation of another version": EVALUATION.format("data = '{\"at\": 1}'"),
    "a decision of another version": DECISION.format("action = 'ponder'"),
    "a trial's schedule": ATTRIBUTE.format("value_json = '7' WHERE key = 'schedule'"),
    "a trial's outcome": ATTRIBUTE.format("value_json = '{\"x\"' WHERE key = 'end'"),
    "a trial that Optuna alone wrote": f"DELETE FROM trial_user_attributes WHERE {TRIALS}",
}


@pytest.fixture(scope="module")
def two_sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    for name in ("broken", "whole"):
        run_sweep(spec(name, trials=3), workspace(root), task=task(root / name))
    return root


@pytest.fixture
def broken(two_sweeps: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    """A home of two sweeps, one of which is damaged as the test's parameter says."""
    shutil.copytree(two_sweeps, tmp_path, dirs_exist_ok=True)
    where = workspace(tmp_path)
    engine = create_engine(where.database_url)
    with engine.begin() as connection:
        assert connection.exec_driver_sql(DAMAGE[request.param]).rowcount
    engine.dispose()
    return where


@pytest.mark.parametrize("broken", DAMAGE, indirect=True)
def test_what_cannot_be_read_is_named_and_hides_nothing(broken: Workspace) -> None:
    ledger = Ledger(broken.database_url)
    assert ledger.names() == ("broken", "whole")
    assert len(ledger.history("whole").trials) == 3
    found = examine(broken)
    assert [one.sweep for one in found] == ["broken"]
    assert (found[0].kind, found[0].mend) == ("unreadable", None)
    assert "broken" in found[0].message
    assert examine(broken, "whole") == ()
    if "lease" not in found[0].message:
        with pytest.raises(UserError, match="broken"):
            ledger.history("broken")
    ledger.close()
