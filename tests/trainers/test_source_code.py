"""When the source of a user's own module counts as changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from lossweep.trainers.source_code import source_digest

Write = Callable[[Mapping[str, str]], None]

PROJECT = {
    "sd_losses.py": "import math, sd_helper\nfrom sd_parts import edges\n\ndef loss():\n    return 1\n",
    "sd_helper.py": "WIDTH = 3\n",
    "sd_parts/__init__.py": "",
    "sd_parts/edges.py": "from .kernels import sobel\nfrom ..nowhere import x\nfrom . import lines\n",
    "sd_parts/kernels.py": "def sobel():\n    return 1\n",
    "sd_parts/lines.py": "def late():\n    import sd_bare.inner.deep as deep\n    return deep\n",
    "sd_bare/inner/deep.py": "DEPTH = 1\n",
    "sd_stranger.py": "import sd_losses\n",
    "sd_parts/unused.py": "x = 1\n",
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files into a folder that modules are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def files(contents: Mapping[str, str]) -> None:
        for name, text in contents.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    files(PROJECT)
    return files


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sd_losses.py", PROJECT["sd_losses.py"].replace("return 1", "return 2")),
        ("sd_helper.py", "WIDTH = 5\n"),
        ("sd_parts/__init__.py", "import os\n"),
        ("sd_parts/edges.py", PROJECT["sd_parts/edges.py"] + "y = 1\n"),
        ("sd_parts/kernels.py", "def sobel():\n    return 2\n"),
        ("sd_parts/lines.py", PROJECT["sd_parts/lines.py"] + "y = 1\n"),
        ("sd_bare/inner/deep.py", "DEPTH = 2\n"),
        ("sd_helper.py", "WIDTH = \n"),
    ],
)
def test_a_change_of_the_module_or_of_what_it_imports_beside_it_counts(
    write: Write, file: str, text: str
) -> None:
    before = source_digest("sd_losses:loss")
    assert before == source_digest("sd_losses:loss") != ""
    write({file: text})
    assert source_digest("sd_losses:loss") != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "sd_losses.py",
            "# new\n" + PROJECT["sd_losses.py"].replace("    return 1", "    return (1)  #"),
        ),
        ("sd_stranger.py", "x = 1\n"),
        ("sd_parts/unused.py", "x = 2\n"),
        ("sd_new.py", "x = 1\n"),
    ],
)
def test_comments_layout_and_what_is_not_imported_do_not_count(write: Write, file: str, text: str) -> None:
    before = source_digest("sd_losses:loss")
    write({file: text})
    assert source_digest("sd_losses:loss") == before


def test_modules_are_told_apart_and_a_part_within_a_package_is_found(write: Write) -> None:
    digests = {
        source_digest(f"{name}:x")
        for name in ("sd_losses", "sd_helper", "sd_parts.edges", "sd_bare.inner.deep")
    }
    assert len(digests) == 4
    assert "" not in digests


def test_of_what_is_installed_the_version_counts() -> None:
    assert source_digest("torch.nn:CrossEntropyLoss") == f"torch {version('torch')}"
    assert source_digest("json:loads").startswith("json 3.")


@pytest.mark.parametrize("path", ["sd_no_such_module:x", "lossweep.trainers.guards:Rule", "builtins:dict"])
def test_what_has_no_source_of_the_users_has_no_digest(path: str) -> None:
    assert source_digest(path) == ""
