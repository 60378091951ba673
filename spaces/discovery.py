"""What the modules of a folder define: how one file adds a loss, a guard, or a source of data."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import ClassVar, Protocol, TypeVar


class Placed(Protocol):
    """A class that says where it stands in lists of its kind."""

    place: ClassVar[int]


T = TypeVar("T", bound=Placed)


def modules_in(package: ModuleType) -> tuple[ModuleType, ...]:
    """Import every module of a package, and return them by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(importlib.import_module(f"{package.__name__}.{name}") for name in names)


def defined_in(package: ModuleType, kind: type[T]) -> tuple[type[T], ...]:
    """Import every module of a package, and return the classes of a kind that are written there.

    A class counts when it says its own ``place``; what others build on has none. Sorted by it.

    Raises:
        TypeError: when two classes say the same place: their order would be left to chance.
    """
    found: dict[int, type[T]] = {}
    for module in modules_in(package):
        for each in vars(module).values():
            if not (isinstance(each, type) and issubclass(each, kind) and "place" in vars(each)):
                continue
            if each.__module__ != module.__name__:
                continue
            if each.place in found:
                raise TypeError(f"{each.__name__} and {found[each.place].__name__} have the same place")
            found[each.place] = each
    return tuple(found[place] for place in sorted(found))
