"""What lossweep uses of Optuna beyond its public interface: a test fails by name when one of these changes.

Of studies: the storage behind one, its memory of trials, and, of one in memory, that a trial can be put back.
Of TPE: what `search.sampling.steady_tpe` and `search.sampling.tpe_density` build on; `missing_tpe_parts` says
which of it is gone, and then Optuna's own TPE is used. Nothing else in lossweep touches an underscore of
Optuna's.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState
from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite


def storage_of(study: Study) -> BaseStorage:
    """Return the storage behind a study, with the cache that Optuna puts before a database.

    There is no public way to it, and only a storage can put a running trial back to WAITING.
    """
    return study._storage


def read_trials_anew(study: Study) -> None:
    """Let a sampler see the trials as they stand now, as ``study.ask`` does for every trial.

    Without that memory, there is nothing to forget.
    """
    with contextlib.suppress(AttributeError):
        study._thread_local.cached_all_trials = None


def reopen_trial(storage: InMemoryStorage, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Let a finished trial of a study in memory run again; no storage offers that.

    Args:
        storage: of the study.
        trial_id: the storage's.
        attributes: the system attributes that it has from now on.
    """
    with storage._lock:
        trial = copy.copy(storage._get_trial(trial_id))
        trial.state, trial.values, trial.datetime_complete = TrialState.RUNNING, None, None
        trial.system_attrs = dict(attributes)
        storage._set_trial(trial_id, trial)


def reported_value(dialect: str, trial_id: int, step: int, value: float) -> Executable | None:
    """Return a statement that writes an intermediate value of an unfinished trial as Optuna's storage does.

    It changes no row when there is no such trial, or it has ended.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        trial_id: the storage's.
        step: of the value.
        value: which.

    Returns:
        None for another database, and where Optuna's tables are not as they were.
    """
    if dialect not in ("sqlite", "postgresql"):
        return None
    try:
        models = importlib.import_module("optuna.storages._rdb.models")
        table, trials = models.TrialIntermediateValueModel.__table__, models.TrialModel.__table__
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        names = ("trial_id", "step", "intermediate_value", "intermediate_value_type")
        given = zip((trial_id, step, stored, kind), (table.c[name] for name in names), strict=True)
        open_ = trials.c.state.in_((TrialState.RUNNING, TrialState.WAITING))
        wanted = sqlalchemy.select(*(sqlalchemy.literal(one, column.type) for one, column in given)).where(
            sqlalchemy.exists().where(trials.c.trial_id == trial_id, open_)
        )
    except (ImportError, AttributeError, KeyError):
        return None
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    write = insert(table).from_select(list(names), wanted)
    updated = {name: write.excluded[name] for name in names[2:]}
    return write.on_conflict_do_update(index_elements=[table.c.trial_id, table.c.step], set_=updated)


_TPE: Final = "optuna.samplers._tpe"

TPE_CALLABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "optuna.samplers:TPESampler._sample_relative": ("self", "study", "trial", "search_space"),
    "optuna.samplers:TPESampler._sample": ("self", "study", "trial", "search_space"),
    "optuna.samplers:TPESampler._compare": ("samples", "acquisition_func_vals"),
    "optuna.samplers:TPESampler._compute_acquisition_func": ("self", "samples", "mpe_below", "mpe_above"),
    "optuna.samplers:TPESampler._get_params": ("self", "trial", "study"),
    f"{_TPE}.sampler:default_gamma": ("x",),
    f"{_TPE}.parzen_estimator:_ParzenEstimator": (
        "observations",
        "search_space",
        "parameters",
        "predetermined_weights",
    ),
    f"{_TPE}.parzen_estimator:_ParzenEstimator.sample": ("self", "rng", "size"),
    f"{_TPE}.parzen_estimator:_ParzenEstimator.log_pdf": ("self", "samples_dict"),
    f"{_TPE}.parzen_estimator:_ParzenEstimator._transform": ("self", "samples_dict"),
    f"{_TPE}.parzen_estimator:_ParzenEstimatorParameters": (
        "prior_weight",
        "consider_magic_clip",
        "consider_endpoints",
        "weights",
        "multivariate",
    ),
    f"{_TPE}.probability_distributions:_MixtureOfProductDistribution": ("weights", "distributions"),
    f"{_TPE}.probability_distributions:_BatchedCategoricalDistributions": ("weights",),
    f"{_TPE}.probability_distributions:_BatchedDiscreteTruncNormDistributions": (
        "mu",
        "sigma",
        "low",
        "high",
        "step",
    ),
    f"{_TPE}.probability_distributions:_BatchedDiscreteTruncLogNormDistributions": (
        "mu",
        "sigma",
        "low",
        "high",
        "step",
    ),
    f"{_TPE}.probability_distributions:_unique_inverse_2d": ("a", "b"),
    f"{_TPE}._truncnorm:_log_gauss_mass": ("a", "b"),
}
"""What is called or built on, by ``module:name``, with the names of its parameters."""

TPE_ATTRIBUTES: Final = (
    "_rng.rng.seed",
    "_random_sampler._rng.rng.seed",
    "_n_startup_trials",
    "_n_ei_candidates",
    "_gamma",
    "_constant_liar",
    "_parzen_estimator_parameters",
    "_search_space_group",
    "_group_decomposed_search_space._search_space.search_spaces",
    "_group_decomposed_search_space._search_space.add_distributions",
)
"""What is read of a TPE sampler that samples by groups."""


def missing_tpe_parts() -> tuple[str, ...]:
    """Return the names of those private parts of TPE that this Optuna lacks or has with other parameters."""
    callables = (name for name, parameters in TPE_CALLABLES.items() if not _takes(name, parameters))
    return (*callables, *(name for name in TPE_ATTRIBUTES if not has_tpe_attribute(name)))


def _takes(name: str, parameters: tuple[str, ...]) -> bool:
    """Whether there is such a callable, with these parameters."""
    try:
        return parameters_of(name) == parameters
    except (ImportError, AttributeError, TypeError, ValueError):
        return False


def parameters_of(name: str) -> tuple[str, ...]:
    """Return the names of the parameters of what ``module:name`` names.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is no such name in it.
    """
    module, _, path = name.partition(":")
    found: Callable[..., Any] = _at(importlib.import_module(module), path)
    return tuple(inspect.signature(found).parameters)


def has_tpe_attribute(path: str) -> bool:
    """Whether a TPE sampler that samples by groups has this attribute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = TPESampler(multivariate=True, group=True, constant_liar=True, seed=0)
    try:
        _at(sampler, path)
    except AttributeError:
        return False
    return True


def _at(start: Any, path: str) -> Any:
    for name in path.split("."):
        start = getattr(start, name)
    return start
