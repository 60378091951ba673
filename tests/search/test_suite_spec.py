"""Suite files: several sweep files and what is the same for all, with every mistake named where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossweep.search.suite_spec import load_suite
from lossweep.spaces.files.errors import UserError

SWEEP = """\
name: {name}
data: {{source: scenes, classes: [background, {name}]}}
space: {{preset: single}}
objective: {{use_case: {use}}}
budget: {{trials: 3, epochs: 2}}
"""


def _written(folder: Path, suite: str, use: str = "balanced") -> Path:
    (folder / "roads.yaml").write_text(SWEEP.format(name="roads", use="balanced"))
    (folder / "ships.yaml").write_text(SWEEP.format(name="ships", use=use))
    (folder / "suite.yaml").write_text(suite)
    return folder / "suite.yaml"


def _problems(path: Path) -> list[str]:
    with pytest.raises(UserError) as raised:
        load_suite(path)
    return [str(problem) for problem in raised.value.problems]


def test_sweeps_keep_what_is_theirs_and_get_what_is_the_same_for_all(tmp_path: Path) -> None:
    suite = (
        "name: fields\nsweeps: [roads.yaml, ships.yaml]\n"
        "same: {space: {preset: focal}, budget: {trials: 7}}\n"
    )
    name, sweeps = load_suite(_written(tmp_path, suite))
    assert name == "fields"
    assert [sweep.name for sweep in sweeps] == ["fields.roads", "fields.ships"]
    assert [sweep.data.classes[1] for sweep in sweeps] == ["roads", "ships"]
    assert {sweep.space.preset for sweep in sweeps} == {"focal"}
    assert {(sweep.budget.trials, sweep.budget.epochs) for sweep in sweeps} == {(7, 2)}


def test_mistakes_of_every_file_are_told_at_once(tmp_path: Path) -> None:
    path = _written(tmp_path, "name: fields\nsweeps: [roads.yaml, none.yaml, ships.yaml]\n", use="balance")
    first, second = _problems(path)
    assert "none.yaml" in first
    assert "ships.yaml:4" in second


def test_a_mistake_in_what_is_the_same_is_found_in_the_suite_file(tmp_path: Path) -> None:
    path = _written(
        tmp_path, "name: fields\nsweeps: [roads.yaml, ships.yaml]\nsame:\n  budget: {trials: many}\n"
    )
    problems = _problems(path)
    assert all("suite.yaml:4: same.budget.trials" in problem for problem in problems)


@pytest.mark.parametrize(
    ("suite", "told"),
    [
        (
            "name: f\nsweeps: [roads.yaml, ships.yaml]\nsame: {name: x}\n",
            "suite.yaml:3: same.name: is each sweep's",
        ),
        ("name: f\nsweeps: [roads.yaml, roads.yaml]\n", "sweeps[1]: two sweeps of one name"),
        ("name: f\nsweeps: [roads.yaml]\n", "sweeps"),
        (f"name: {'f' * 60}\nsweeps: [roads.yaml, ships.yaml]\n", "too long a name"),
    ],
)
def test_mistakes(tmp_path: Path, suite: str, told: str) -> None:
    assert told in _problems(_written(tmp_path, suite))[0]


def test_sweeps_of_different_objectives_cannot_be_ranked(tmp_path: Path) -> None:
    path = _written(tmp_path, "name: f\nsweeps: [roads.yaml, ships.yaml]\n", use="counting")
    assert "different objectives" in _problems(path)[0]
