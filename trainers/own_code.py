"""Of which source a user's own parts are: digests, by which a checkpoint of other code is told apart."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Final
from weakref import WeakKeyDictionary

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import imported_terms
from lossweep.spaces.metric_names import OWN
from lossweep.trainers.imports import look_in_working_directory
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.source_code import source_digest

_LOADED: Final[WeakKeyDictionary[ModuleType, str]] = WeakKeyDictionary()


class CodeChanged(UserError):
    """This process would train by other code than the trial was planned for."""


def own_parts(plan: TrialPlan) -> tuple[str, ...]:
    """The import paths of everything of the user's own that decides how a trial trains, each once.

    Data are not among them: what their code makes is known by the fingerprint of the decoded images.
    """
    model = plan.model.architecture
    paths = [
        *([model] if ":" in model else []),
        *plan.guards.own,
        *(found["path"] for name in plan.measure.own if (found := OWN.fullmatch(name))),
        *(term.term for phase in plan.schedule.phases for term in imported_terms(phase.loss)),
    ]
    return tuple(dict.fromkeys(paths))


def with_code(plan: TrialPlan) -> TrialPlan:
    """Return a plan that says by which code it trains: that of this process, where it does not say yet.

    Raises:
        CodeChanged: the plan says, and this process has other code.
        UserError: a part cannot be imported.
    """
    if plan.code is None:
        return replace(plan, code={path: _loaded(path) for path in own_parts(plan)})
    changed = [path for path in plan.code if not is_current(path, plan.code)]
    if changed:
        hint = (
            "resume the sweep: its unfinished trials then begin anew by the new code; or put the old one back"
        )
        raise CodeChanged(
            Problem("the code has changed since the trial was planned", found=path, hint=hint)
            for path in changed
        )
    return plan


def is_current(path: str, code: Mapping[str, str]) -> bool:
    """Whether this process has the recorded code of an import path; also where none was recorded."""
    return path not in code or _loaded(path) == code[path]


def _loaded(path: str) -> str:
    """The digest of the source that this process imported, whatever has become of the file since."""
    name = path.partition(":")[0]
    look_in_working_directory()
    try:
        module = importlib.import_module(name)
    except Exception:  # said in the user's words where the part is built
        return source_digest(path)
    if module not in _LOADED:
        _LOADED[module] = source_digest(path)
    return _LOADED[module]
