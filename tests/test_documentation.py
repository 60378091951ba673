"""The documentation is built whole: every link, and every name of the API pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main

import lossweep
from lossweep.commands import app

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


@pytest.mark.slow
def test_mkdocs_builds_it_strictly(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(build, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    page = (tmp_path / "site" / "api" / "lossweep" / "index.html").read_text()
    for name in lossweep.__all__:
        assert re.search(rf'id="lossweep\.{name}"', page), name


def test_the_page_of_the_public_face_has_each_name() -> None:
    page = (ROOT / "docs" / "api" / "lossweep.md").read_text()
    assert set(re.findall(r"^::: lossweep\.(\w+)$", page, re.MULTILINE)) == set(lossweep.__all__)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_linked_files_exist(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_extra_is_documented() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    missing = [
        name
        for name in extras
        if f"lossweep[{name}]" not in pages and name not in ("test", "docs", "mutants")
    ]
    assert missing == []


def test_who_is_sent_a_sweep_file_is_warned_that_it_runs_code() -> None:
    from lossweep.commands.check import check

    for told in ((ROOT / "README.md").read_text(), check.__doc__ or ""):
        assert re.search(r"(?i)code.*by import path", told, re.DOTALL)
    assert "## Files of others" in (ROOT / "docs" / "operations.md").read_text()


def test_the_changelog_names_each_stable_name() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    for name in lossweep.__all__:
        assert re.search(rf"`(lossweep\.)?{name}\b", text), name


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_and_options_that_a_page_shows_exist(name: str) -> None:
    """Blocks that are tried whole stand elsewhere; this finds what was renamed or never was."""
    page = (ROOT / name).read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", page)
    commands = typer.main.get_command(app).commands
    for line in shown:
        found = re.match(r"(?:\S*/)?lossweep (?P<command>[\w-]+)(?P<rest>[^#]*)", line)
        if found is None:
            continue
        assert found["command"] in commands, line
        options = {
            word for each in commands[found["command"]].params for word in each.opts + each.secondary_opts
        }
        used = re.findall(r"(?<!\S)--?[a-z][\w-]*", found["rest"])
        assert set(used) <= options | {"--help", "-h"}, line
