"""The workflow of a public host runs `.ci/run` on each Python that the package names."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pythons() -> list[str]:
    """The versions that the classifiers name, in their order."""
    prefix = "Programming Language :: Python :: "
    return [one.removeprefix(prefix) for one in PROJECT["classifiers"] if one.startswith(prefix)]


def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text()))


def test_the_matrix_is_what_the_package_and_the_readme_name() -> None:
    (job,) = workflow()["jobs"].values()
    assert job["strategy"]["matrix"] == {"python": pythons()}
    assert job["strategy"]["fail-fast"] is False
    assert pythons() == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={pythons()[0]}"
    assert f"Python {pythons()[0]} to {pythons()[-1]}" in (ROOT / "README.md").read_text()


def test_it_calls_the_script_that_is_there_with_the_interpreter_of_the_matrix() -> None:
    (job,) = workflow()["jobs"].values()
    (command,) = (step["run"] for step in job["steps"] if "run" in step)
    script, interpreter = command.split(" ", 1)
    assert interpreter == "python${{ matrix.python }}"
    assert os.access(ROOT / script, os.X_OK)
    triggers = workflow()[True]  # YAML 1.1 reads the key `on` as true
    assert {"push", "pull_request"} == set(triggers)


def test_mutants_are_tried_every_night_by_the_script_that_is_there() -> None:
    nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "mutants.yml").read_text())
    (job,) = nightly["jobs"].values()
    install, command = (step["run"] for step in job["steps"] if "run" in step)
    assert set(re.search(r"\.\[(.*)\]", install)[1].split(",")) == {"test", "mutants"}  # type: ignore[index]  # fails if absent
    assert {"test", "mutants"} <= PROJECT["optional-dependencies"].keys()
    _, script, *options = command.split()
    source = (ROOT / script).read_text()
    assert all(f'"{option}"' in source for option in options if option.startswith("--"))
    (packages,) = re.findall(r"^PACKAGES: Final = (\(.*\))$", source, re.MULTILINE)
    wanted = ("search", "trainers/losses", "trainers/metrics", "trainers/guards")
    assert ast.literal_eval(packages) == wanted
    assert all((ROOT / package).is_dir() for package in wanted)
    assert "schedule" in nightly[True]


def test_the_script_makes_its_environment_with_the_interpreter_it_is_given(tmp_path: Path) -> None:
    """A stand-in for each program notes what it was called with; README's command names no other Python."""
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", clone / ".ci" / "run")
    readme = "<!-- command: test -->\n```bash\npython3 -m venv .venv-test && python3 -m pytest\n```\n"
    (clone / "README.md").write_text(readme)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python3", "python3.99", "chromium", "chromedriver", "sbatch"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name}: $*"\n')
        (programs / name).chmod(0o755)

    def said(*arguments: str) -> list[str]:
        script = str(clone / ".ci" / "run")
        path = {"PATH": f"{programs}:/usr/bin:/bin"}
        run = subprocess.run([script, *arguments], env=path, capture_output=True, text=True, check=False)
        return [line for line in (run.stdout + run.stderr).splitlines() if not line.startswith("+")]

    assert said("python3.99") == ["python3.99: -m venv .venv-test", "python3.99: -m pytest"]
    assert said() == ["python3: -m venv .venv-test", "python3: -m pytest"]
    assert said("python3.98") == ["there is no python3.98"]


def test_the_constraints_pin_each_requirement_once_on_each_python() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") for pin in pins)
    extras = PROJECT["optional-dependencies"]
    wanted = [Requirement(one) for group in (PROJECT["dependencies"], *extras.values()) for one in group]
    for python in pythons():
        here = {"python_version": python, "python_full_version": f"{python}.0"}
        pinned = [plain(pin.name) for pin in pins if pin.marker is None or pin.marker.evaluate(here)]
        assert len(pinned) == len(set(pinned)), python
        needed = {plain(one.name) for one in wanted if one.marker is None or one.marker.evaluate(here)}
        assert needed - {"lossweep"} <= set(pinned), python


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
