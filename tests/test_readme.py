"""README's commands and code are true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_there_are_two_setup_commands_of_one_line_each() -> None:
    commands = re.findall(r"<!-- command: (\w+) -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert [name for name, _ in commands] == ["demo", "test"]
    assert all(len(text.strip().splitlines()) == 1 and "venv" in text for _, text in commands)


def test_continuous_integration_runs_the_test_command_as_it_stands_there() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    program = re.search(r"command=\$\(awk '(.*?)' README.md\)", script, re.DOTALL)
    assert program is not None
    run = ["awk", program[1], "README.md"]
    command = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert command.startswith("python3 -m venv")
    assert command.endswith("-m pytest -n 3 --dist loadfile")
    assert command in README


def test_the_sweep_file_is_read(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
    path = tmp_path / "vehicles.yaml"
    path.write_text(block)
    assert SweepSpec.load(path).budget.trials == 64


def test_the_examples_are_read() -> None:
    names = [SweepSpec.load(path).name for path in sorted((ROOT / "examples").glob("*.yaml"))]
    assert names == ["folder", "scenes"]


def test_the_schedule_is_read() -> None:
    (line,) = blocks("text")[:1]
    assert str(LossSchedule.parse(line.strip())) == line.strip()


def test_the_commands_exist() -> None:
    from lossweep.commands import app

    known = {command.name for command in app.registered_commands}
    used = set(re.findall(r"(?:^|`|/)lossweep (\w+)", README, re.MULTILINE))
    assert used
    assert used <= known


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = LossSchedule.parse("weighted_ce(power=0.7) @1e-3 x2 -> jaccard @1e-4 x1 | 2 cycles")
    best = ScheduleFile(
        phases=schedule.phases,
        cycles=schedule.cycles,
        epochs=6,
        classes=("background", "vehicle"),
        frequencies=(0.99, 0.01),
    )
    (tmp_path / "best.yaml").write_text(best.to_yaml())
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["epoch"] == 5
    assert names["learning_rate"] == 1e-4


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_documentation_configuration_names_existing_pages() -> None:
    pages = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert all((ROOT / "docs" / page).exists() for entry in pages for page in entry.values())
