"""Each private part of Optuna that lossweep uses, by name: a failing name is one that an upgrade changed."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

import lossweep
from lossweep.search.study import optuna_private
from lossweep.search.study.optuna_private import (
    TPE_ATTRIBUTES,
    TPE_CALLABLES,
    has_tpe_attribute,
    missing_tpe_parts,
    parameters_of,
    read_trials_anew,
    reopen_trial,
    storage_of,
)


@pytest.mark.parametrize("name", TPE_CALLABLES)
def test_optuna_still_has_and_calls_alike(name: str) -> None:
    assert parameters_of(name) == TPE_CALLABLES[name]


@pytest.mark.parametrize("path", TPE_ATTRIBUTES)
def test_optunas_tpe_sampler_still_has(path: str) -> None:
    assert has_tpe_attribute(path)


def test_optunas_storage_in_memory_still_lets_a_trial_be_put_back() -> None:
    study = optuna.create_study()
    trial = study.ask()
    trial.report(0.4, 1)
    study.tell(trial, state=TrialState.PRUNED)
    storage = storage_of(study)
    assert isinstance(storage, InMemoryStorage)
    before = study.trials[0]
    reopen_trial(storage, trial._trial_id, {"mark": 1})
    again = study.trials[0]
    assert again.system_attrs == {"mark": 1}
    assert (again.state, again.values, again.datetime_complete) == (TrialState.RUNNING, None, None)
    assert (again.intermediate_values, again.params) == (before.intermediate_values, before.params)
    study.tell(trial, 0.7)
    assert study.best_value == 0.7
    assert before.state is TrialState.PRUNED  # what was read before is a trial of its own


def test_optunas_study_still_has__storage(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="s")
    storage = storage_of(study)
    number = study.ask().number
    trial = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name("s"), number)
    storage.set_trial_state_values(trial, TrialState.WAITING)
    assert study.trials[0].state is TrialState.WAITING


def test_optunas_study_still_has__thread_local_cached_all_trials() -> None:
    study = optuna.create_study()
    study._thread_local.cached_all_trials = [create_trial(value=1.0)]
    read_trials_anew(study)
    assert study._thread_local.cached_all_trials is None


def test_what_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_tpe_parts() == ()
    gone = {"optuna.samplers:TPESampler._split": ("trials",), "optuna.nowhere:_Estimator": ()}
    other = {"optuna.samplers:TPESampler._compare": ("other", "parameters")}
    monkeypatch.setattr(optuna_private, "TPE_CALLABLES", {**TPE_CALLABLES, **gone, **other})
    monkeypatch.setattr(optuna_private, "TPE_ATTRIBUTES", (*TPE_ATTRIBUTES, "_rng.dice"))
    assert set(missing_tpe_parts()) == {*gone, *other, "_rng.dice"}


def test_no_other_room_reaches_into_optuna() -> None:
    rooms = {"optuna_private.py", "steady_tpe.py", "tpe_density.py"}
    private = re.compile(r"(from|import) optuna[\w.]*\._|study\._[a-z]|trial\._[a-z]|TPESampler\._[a-z]")
    root = Path(lossweep.__file__).parent
    files = [
        path
        for floor in ("search", "dashboards", "commands")
        for path in (root / floor).resolve().rglob("*.py")
    ]
    assert rooms <= {path.name for path in files}
    others = (path for path in files if path.name not in rooms)
    reaching = {path.name for path in others if private.search(path.read_text(encoding="utf-8"))}
    assert reaching == set()
