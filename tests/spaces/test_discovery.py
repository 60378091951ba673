"""What a folder of modules defines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from lossweep.spaces.discovery import defined_in, modules_in

SHARED = "from test_discovery_base import Base\nclass Shared(Base): pass\n"


class Base:
    place: ClassVar[int]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    base = ModuleType("test_discovery_base")
    base.Base = Base  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, base.__name__, base)
    folder = tmp_path / "found_by_discovery"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "alpha.py").write_text(SHARED + "class Second(Shared):\n    place = 2\n")
    (folder / "beta.py").write_text(
        "from found_by_discovery.alpha import Second, Shared\nclass First(Shared):\n    place = 1\n"
        "class Grandchild(First): pass\nclass Stranger:\n    place = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("found_by_discovery")
    for name in [name for name in sys.modules if name.startswith("found_by_discovery")]:
        del sys.modules[name]


def test_modules_are_imported_by_name(package: ModuleType) -> None:
    assert [module.__name__.rpartition(".")[2] for module in modules_in(package)] == ["alpha", "beta"]


def test_each_class_with_a_place_is_found_once_in_order(package: ModuleType) -> None:
    assert [each.__name__ for each in defined_in(package, Base)] == ["First", "Second"]


def test_two_of_one_place_are_refused(package: ModuleType) -> None:
    (Path(package.__path__[0]) / "gamma.py").write_text(SHARED + "class Third(Shared):\n    place = 2\n")
    importlib.invalidate_caches()
    with pytest.raises(TypeError, match="Third and Second have the same place"):
        defined_in(package, Base)
