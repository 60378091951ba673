from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from lossweep.trainers.data.spec import (
    Augmentation,
    DataSpec,
    FolderSource,
    Fractions,
    ImportSource,
    RasterSource,
    ScenesSource,
)

ADAPTER: TypeAdapter[DataSpec] = TypeAdapter(DataSpec)


def test_the_embedded_default_needs_nothing_but_its_name() -> None:
    spec = ADAPTER.validate_python({"source": "scenes"})
    assert isinstance(spec, ScenesSource)
    assert spec.classes == ("background", "vehicle")
    assert spec.tile == 96


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "folder", "root": "x", "classes": ["a", "a"]}, "distinct"),
        ({"source": "folder", "root": "x", "tile": 100}, "multiple of 32"),
        ({"source": "folder", "root": "x", "colors": {"car": [1, 2, 3]}}, "car"),
        ({"source": "folder", "root": "x", "classes": ["a", "b", "c"], "colors": {"b": 9}}, "missing: c"),
        (
            {"source": "folder", "root": "x", "classes": ["a", "b", "c"], "colors": {"b": 9, "c": [9, 9, 9]}},
            "share",
        ),
        ({"source": "folder", "root": "x", "colors": {"foreground": 0}}, "share"),
        ({"source": "folder", "root": "x", "split": {"train": 0.9, "val": 0.3, "test": 0.1}}, "must be 1"),
        ({"source": "folder", "root": "x", "split": {"group": "("}}, "regular expression"),
        ({"source": "folder", "root": "x", "percentiles": [5, 1]}, "percentiles"),
        ({"source": "raster", "root": "x", "blocks": {}}, "needs split"),
        ({"source": "raster", "root": "x", "window": 64, "overlap": 64}, "overlap"),
        ({"source": "raster", "root": "x", "split": {}, "blocks": {"size": 64, "gap": 40}}, "gap"),
        ({"source": "import", "function": "module.function"}, "pattern"),
        ({"source": "scenes", "augment": {"scale": [2.0, 1.0]}}, "scale"),
        ({"source": "scenes", "colour": 1}, "colour"),
    ],
)
def test_mistakes_are_refused_by_name(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ADAPTER.validate_python(data)


def test_paths_are_resolved_against_the_sweep_file(tmp_path: Path) -> None:
    assert FolderSource(source="folder", root="tiles").resolve(tmp_path).root == str(tmp_path / "tiles")
    assert RasterSource(source="raster", root="/abs").resolve(tmp_path).root == "/abs"
    imported = ImportSource(source="import", function="a:b", path="src")
    assert imported.resolve(tmp_path).path == str(tmp_path / "src")
    assert ImportSource(source="import", function="a:b").resolve(tmp_path).path is None
    assert ScenesSource(source="scenes").resolve(tmp_path) == ScenesSource(source="scenes")


def test_a_spec_survives_json() -> None:
    spec = FolderSource(
        source="folder",
        root="x",
        colors={"foreground": (255, 0, 0), "ignore": 7},
        split=Fractions(group="^(a)"),
        augment=Augmentation(scale=(0.5, 2.0)),
    )
    assert ADAPTER.validate_json(ADAPTER.dump_json(spec)) == spec


def test_specs_are_read_without_torch() -> None:
    code = (
        "import sys, lossweep.trainers.data.spec\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
