"""A user's own guard by import path."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.spaces.files.validation import validated
from lossweep.trainers.guards.rule import Rule
from lossweep.trainers.imports import load_object


def check_own(path: str, parameters: Mapping[str, Any]) -> list[Problem]:
    """Say what is wrong with a user's own guard without building it; an empty list when nothing is.

    Imports its module: from the working directory, PYTHONPATH or what is installed, as the workers will.
    The problems' keys are counted from the guard.
    """
    try:
        _thresholds(_imported(path), parameters)
    except UserError as error:
        return list(error.problems)
    return []


def build_own(path: str, parameters: Mapping[str, Any], prior: ClassPrior) -> Rule[Any, Any]:
    """Import and build a user's own guard.

    Raises:
        UserError: it can't be imported, is no guard, does not take its parameters, or raises.
    """
    rule = _imported(path)
    thresholds = _thresholds(rule, parameters)
    try:
        return rule(thresholds, prior)
    except Exception as error:  # a user's code may raise anything
        raised = f"building it raised {type(error).__name__}: {error}"
        raise UserError(Problem(raised, found=repr(path))) from error


def _imported(path: str) -> type[Rule[Any, Any]]:
    try:
        rule = load_object(path, "")
    except UserError as error:
        raise UserError([dataclasses.replace(problem, key=None) for problem in error.problems]) from None
    allowed = "a subclass of lossweep.trainers.guards.Rule"
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        raise UserError(Problem("is no guard", found=repr(path), allowed=allowed))
    if not dataclasses.is_dataclass(rule.state_type):
        problem = "its state_type is no dataclass, whose fields go into checkpoints"
        raise UserError(Problem(problem, found=repr(path), allowed=allowed))
    return rule


def _thresholds(rule: type[Rule[Any, Any]], parameters: Mapping[str, Any]) -> BaseModel:
    known = list(rule.spec_type.model_fields)
    # A model that says nothing of unknown keys ignores them: a misspelt threshold would be its default.
    stray = [key for key in parameters if key not in known]
    if stray and "extra" not in rule.spec_type.model_config:
        allowed = ", ".join(known) or "none"
        raise UserError(
            Problem(f"unknown key {key!r}", key=key, allowed=allowed, hint=nearest(key, known))
            for key in stray
        )
    return validated(rule.spec_type, dict(parameters))
