"""Samplers from OptunaHub, ``hub:samplers/NAME``, with errors in the user's words."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from optuna.samplers import BaseSampler

from lossweep.spaces.files.errors import Problem, UserError, nearest

HUB: Final = "hub:"
SPELLING: Final = "hub:samplers/NAME or hub:samplers/NAME:Class"


def load_from_hub(path: str, key: str, registry: str | None = None) -> Any:
    """Return the class of an OptunaHub package.

    Args:
        path: ``hub:PACKAGE``, when the package has one sampler, or ``hub:PACKAGE:Class``.
        key: the key it was given under, for the error.
        registry: a folder that holds packages as OptunaHub's own ``package`` folder does; None downloads the
            package once and keeps it in OptunaHub's cache.

    Raises:
        UserError: OptunaHub is not installed, the package can't be had or raises, or it has no such class.
    """
    package, _, name = path.removeprefix(HUB).partition(":")
    package = package.strip("/")
    if not package:
        raise UserError(Problem("names no package", key=key, found=repr(path), allowed=SPELLING))
    module = _load(package, path, key, registry)
    samplers = [each for each, kind in vars(module).items() if _is_own_sampler(kind)]
    if not name:
        if len(samplers) == 1:
            return getattr(module, samplers[0])
        allowed = ", ".join(f"{HUB}{package}:{each}" for each in samplers) or SPELLING
        raise UserError(
            Problem(f"has {len(samplers)} samplers: name one", key=key, found=repr(path), allowed=allowed)
        )
    if not hasattr(module, name):
        hint = nearest(name, samplers) or (f"it has {', '.join(samplers)}" if samplers else None)
        raise UserError(Problem(f"{package} has no {name!r}", key=key, found=repr(path), hint=hint))
    return getattr(module, name)


def _load(package: str, path: str, key: str, registry: str | None) -> ModuleType:
    try:
        import optunahub
    except ImportError as error:
        hint = "pip install 'lossweep[hub]'"
        raise UserError(Problem("needs OptunaHub", key=key, found=repr(path), hint=hint)) from error
    try:
        if registry is not None:
            return optunahub.load_local_module(package, registry_root=registry)
        return optunahub.load_module(package)
    except Exception as error:  # git's, GitHub's, the network's, or what the package itself raises
        where = "OptunaHub" if registry is None else registry
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        problem = Problem(
            f"could not be loaded from {where}", key=key, found=repr(path), hint=_hint(error, said)
        )
        raise UserError(problem) from error


def _hint(error: Exception, said: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs the module {error.name!r}: install it"
    if isinstance(error, FileNotFoundError):
        return f"is its name right? ({said})"
    return said


def _is_own_sampler(kind: object) -> bool:
    """Whether this is a sampler of the package's own, in whichever of its modules, not one it builds on."""
    return (
        isinstance(kind, type)
        and issubclass(kind, BaseSampler)
        and not kind.__name__.startswith("_")
        and not kind.__module__.startswith(("optuna.", "optunahub."))
    )
