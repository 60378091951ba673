"""What was recorded becomes a file when it is whole; and the file is what its page says."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from lossweep.search.simulation.prefix_trainer import PrefixTrainer, trial_plan
from lossweep.search.simulation.recorded_trainer import RecordedTrainer, read_record
from lossweep.search.simulation.sharing_trainer import SharingTrainer
from lossweep.search.simulation.sweeps import VEHICLES
from lossweep.spaces.schedules.schedule import LossSchedule

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "recorded" / "curves.parquet"
PAGE = ROOT / "docs" / "recorded-sweeps.md"


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("record")


def write(record: ModuleType, path: Path, seed: int) -> list[str]:
    """A file of simulated trainings as the recorder writes them, in its order; its lines."""
    trainer = PrefixTrainer(keeps=True)
    lines = []
    for schedule in record.schedules_of(record.recorded_space(VEHICLES)):
        rows = [
            {
                "epoch": each.epoch, "step": each.step, "phase": each.phase, "cycle": each.cycle,
                "phase_ended": each.phase_ended, "cycle_ended": each.cycle_ended, "finished": each.finished,
                "diverged": "", "threshold": each.threshold, "trained": each.seconds > 0.0,
                "test": each.metrics["tuned_f1"] if each.finished else float("nan"),
                **{name: each.metrics.get(name, float("nan")) for name in record.FIGURES},
            }
            for each in trainer.trial(trial_plan(schedule, seed, 12))
        ]  # fmt: skip
        lines.append(json.dumps({"key": schedule.key, "schedule": str(schedule), "rows": rows}))
    path.write_text("\n".join(lines) + "\n")
    return lines


def test_a_pair_is_collected_once_all_its_schedules_are_there(
    record: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = write(record, tmp_path / "scenes-0.jsonl", 0)
    (tmp_path / "sirst-0.jsonl").write_text("\n".join(lines[:-3]) + "\n")
    output = tmp_path / "curves.parquet"
    record.collect(tmp_path, output)
    assert "sirst with seed 0 is left out: 3 of 252 schedules are missing" in capsys.readouterr().out
    table = read_record(output)
    assert set(table["dataset"]) == {"scenes"}
    assert table["schedule"].nunique() == len(lines) == 252


def test_nothing_is_written_while_nothing_is_complete(record: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "scenes-0.jsonl").write_text(write(record, tmp_path / "other", 0)[0] + "\n")
    with pytest.raises(SystemExit, match=r"nothing in .* is complete"):
        record.collect(tmp_path, tmp_path / "curves.parquet")
    assert not (tmp_path / "curves.parquet").exists()


@pytest.fixture
def table() -> pd.DataFrame:
    """The record of the repository."""
    return read_record(RECORD)


def test_the_record_holds_pairs_that_are_whole(record: ModuleType, table: pd.DataFrame) -> None:
    every = {str(each) for each in record.schedules_of(record.recorded_space(VEHICLES))}
    for pair, rows in table.groupby(["dataset", "seed"]):
        assert set(rows["schedule"]) == every, pair
        last = rows.groupby("schedule").tail(1)
        assert (last["finished"] | (last["diverged"] != "")).all(), pair
        assert not last.loc[last["diverged"] == "", "test"].isna().any(), pair


def test_replayed_prefixes_are_those_that_the_recorder_went_on_from(table: pd.DataFrame) -> None:
    """In the recorder's order, a replay trains what it trained, epoch by epoch."""
    for (dataset, seed), rows in table.groupby(["dataset", "seed"]):
        inner = RecordedTrainer.of(table, dataset, seed)
        trainer = SharingTrainer(inner)
        for number, line in enumerate(dict.fromkeys(rows["schedule"])):
            plan = replace(trial_plan(LossSchedule.parse(line), 0, 12), number=number)
            trained = [each.seconds > 0.0 for each in trainer.trial(plan)]
            assert trained == [row["trained"] for row in inner.curves[line]], (dataset, seed, line)


def test_the_page_names_every_column(table: pd.DataFrame) -> None:
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*", PAGE.read_text(), re.MULTILINE)))
    assert set(table.columns) <= set(named)


def test_the_pages_examples_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), {})
    out = capsys.readouterr().out
    assert "scenes" in out
    assert LossSchedule.parse(out.splitlines()[-1]).budget == 12
