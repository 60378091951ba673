"""The recorded sweeps are replayed by any sampler and pruner, and what is wrong with a request is told."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from lossweep.search.simulation.prefix_trainer import PrefixTrainer, trial_plan
from lossweep.search.simulation.sweeps import VEHICLES
from lossweep.spaces.schedules.schedule import LossSchedule

ROOT = Path(__file__).parents[2]
SCRIPTS = ("search_arms", "search_runs", "search_tables", "recorded_space", "replay_tables", "replay")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules, which import one another as scripts do."""
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield {name: importlib.import_module(name) for name in SCRIPTS}
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in set(sys.modules) - before:
        if name in SCRIPTS:
            del sys.modules[name]


@pytest.fixture(scope="module")
def record(scripts: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record as `benchmarks/record.py` makes them, of simulated trainings: one data set, two seeds."""
    space = scripts["recorded_space"]
    frames = []
    for seed in (0, 1):
        trainer = PrefixTrainer()
        for schedule in space.schedules_of(space.recorded_space(VEHICLES)):
            course = list(trainer.trial(trial_plan(schedule, seed, space.EPOCHS)))
            rows = [
                {
                    "dataset": "made_up", "seed": seed, "schedule": str(schedule), "epoch": each.epoch,
                    "step": each.step, "phase": each.phase, "cycle": each.cycle,
                    "phase_ended": each.phase_ended, "cycle_ended": each.cycle_ended,
                    "finished": each.finished, "diverged": each.verdict.rule if each.verdict else "",
                    "threshold": each.threshold, "trained": True,
                    "test": each.metrics["tuned_f1"] - 0.1 if each.finished else math.nan,
                    "ap": each.metrics["ap"], "f1": each.metrics["f1"], "tuned_f1": each.metrics["tuned_f1"],
                }
                for each in course
            ]  # fmt: skip
            frames.append(pd.DataFrame(rows))
    path = tmp_path_factory.mktemp("record") / "curves.parquet"
    pd.concat(frames, ignore_index=True).to_parquet(path)
    return path


def replay(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, *options: str | Path
) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["replay.py", *map(str, options)])
    code: int = scripts["replay"].main()
    return code


def test_the_space_of_the_record_has_the_plain_ones_that_a_control_search_proposes(
    scripts: dict[str, ModuleType],
) -> None:
    space = scripts["recorded_space"]
    every = space.schedules_of(space.recorded_space(VEHICLES))
    plain = space.PlainOnes()
    starts = list(plain.starts())
    assert len(every) == 252
    assert len(set(plain.all())) == 9
    assert {*starts} < {*plain.all()} < {*every}
    assert plain.parameters_of(starts[1]) == {"control.learning_rate": 0.01, "control.shape": "cosine"}
    with pytest.raises(ValueError, match="no plain cross-entropy of the record"):
        plain.parameters_of(LossSchedule.parse("cross_entropy @0.02 x12 | 12 epochs"))


def test_worth_is_what_the_seeds_came_to_that_the_search_has_not_seen(
    scripts: dict[str, ModuleType], record: Path
) -> None:
    pairs = scripts["replay"].pairs_of(pd.read_parquet(record))
    zero, one = pairs["made_up, seed 0"], pairs["made_up, seed 1"]
    for line in list(zero.seen)[::50]:
        val, test, same = zero.truth[line]
        assert val == pytest.approx(one.seen[line])
        assert test == pytest.approx(one.seen[line] - 0.1, abs=0.05), "of the last epoch, not the best"
        assert same == pytest.approx(zero.seen[line] - 0.1, abs=0.05)


def test_ends_are_paired_by_what_was_searched_with(scripts: dict[str, ModuleType]) -> None:
    def row(arm: str, pair: str, epochs: int, worth: float) -> dict[str, object]:
        return {"arm": arm, "space": pair, "epochs": epochs, "steps": [[12, 1.0, 0.1], [epochs, 2.0, worth]]}

    rows = [
        *(row("random", "a", 96, 0.4), row("random", "a", 96, 0.6), row("random", "b", 96, 0.8)),
        *(row("ours", "a", 40, 0.6), row("ours", "b", 60, 1.0)),  # 0.1 and 0.2 more
        row("half", "a", 40, 0.9),
    ]
    lines = scripts["replay_tables"].ends(rows)
    assert lines[2:] == [
        "| random | 96 | 0.6500 | - |",
        "| ours | 50 | 0.8000 | +0.1500 (-0.4853..+0.7853) |",  # t of one degree: 12.706
    ]


def test_a_data_set_with_one_seed_has_the_test_of_its_own_trainings_alone(
    scripts: dict[str, ModuleType], record: Path
) -> None:
    table = pd.read_parquet(record)
    (pair,) = scripts["replay"].pairs_of(table[table["seed"] == 1]).values()
    val, test, same = next(iter(pair.truth.values()))
    assert math.isnan(val)
    assert math.isnan(test)
    assert same > 0.0
    assert [line.split(" | ")[1] for line in scripts["replay_tables"].of_the_record([pair])[2:]] == [
        "test, by the same training"
    ]


def test_arms_and_a_sampler_by_name_are_replayed_once(
    scripts: dict[str, ModuleType],
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "runs.jsonl"
    options = ("--record", record, "--out", out, "--seeds", "0", "1", "--trials", "8")
    sampler, pruner = "{sampler: random, startup: 2}", "{pruner: median, min_peers: 2}"
    mine = ("--sampler", sampler, "--pruner", pruner, "--keep")
    assert replay(scripts, monkeypatch, *options, *mine) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    name = f"{sampler} with {pruner}, prefixes kept"
    assert {row["arm"] for row in rows} == {"random", "TPE, stock", "TPE + rungs", name}
    assert all(row["epochs"] == 96 for row in rows if row["arm"] == "random"), "each epoch is paid for"
    assert all(row["epochs"] < 96 for row in rows if row["arm"] == name), "some are pruned, some shared"
    assert name in capsys.readouterr().out
    written = out.read_text()
    assert replay(scripts, monkeypatch, *options, *mine) == 0
    assert out.read_text() == written, "nothing is run again"


def test_one_epoch_ranks_all_that_it_draws_by_their_first_one(
    scripts: dict[str, ModuleType], record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs.jsonl"
    arms = ("--arms", "random", "One-Epoch", "TPE, stock", "TPE + rungs")
    small = ("--small", "--seeds", "0", "1", "--record", record, "--out", out)
    assert replay(scripts, monkeypatch, *small, *arms) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    searched = {row["trials"]: row["epochs"] for row in rows if row["arm"] == "One-Epoch"}
    assert all(0.9 <= epochs / (9 * trials) <= 1.0 for trials, epochs in searched.items())
    controls = [row["control"] for row in rows if row["arm"] == "random"]
    plain = {str(each) for each in scripts["recorded_space"].PlainOnes.all()}
    assert len(controls) == 6, "two pairs, three budgets"
    assert set(controls) <= plain


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--sampler", "tpa"), "unknown sampler 'tpa'; allowed: tpe"),
        (("--sampler", "{sampler: tpe, startup: 0}"), "startup"),
        (("--sampler", "random", "--pruner", "{rungs: [0.5, 0.2]}"), "rungs must rise"),
        (("--sampler", "{"), "is no YAML"),
        (("--datasets", "mars"), "found mars; allowed: made_up"),
        (("--record", "nowhere.parquet"), "nowhere.parquet: --record: is no record"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    scripts: dict[str, ModuleType],
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    told: str,
) -> None:
    given = ("--record", record, "--out", tmp_path / "runs.jsonl", "--seeds", "0", "0", *options)
    assert replay(scripts, monkeypatch, *given) == 2
    assert told in capsys.readouterr().err
