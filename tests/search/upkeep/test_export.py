"""What an exported file tells of a confirmation: verdict, seeds, spreads, the control's scores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confirmed_sweeps import LEADER, TOP_HEAVY, sweep

from lossweep.search.exporting.choice import Preference, choose
from lossweep.search.exporting.operating import AskedPoint
from lossweep.search.upkeep.export import export, export_best
from lossweep.spaces.schedules.schedule_file import ScheduleFile


def test_provenance_holds_the_verdict_with_seeds_and_spreads() -> None:
    history = sweep(TOP_HEAVY)
    best = export_best(history)
    assert ScheduleFile.from_yaml(best.to_yaml()) == best
    assert ScheduleFile.from_json(best.to_json()) == best
    told = best.provenance
    assert best.schedule == LEADER
    assert (told["trial"], told["seed"]) == (16, 1003), (
        "of the confirmed seed that threshold and weights are of"
    )
    assert best.logit_threshold == 16.0
    assert told["tried"] == {"schedules": 2, "plain": 1, "own": 0}
    verdict = told["verdict"]
    assert (verdict["word"], verdict["leader"], verdict["seeds"]) == ("beats", 1, 4)
    assert verdict["difference"] == pytest.approx(0.2)
    low, high = verdict["interval"]
    assert low < 0.2 < high
    assert verdict["sentence"].startswith("Trial 1 beats the control, plain cross-entropy at 3e-3 constant")
    confirmed, control = told["confirmed"], told["against"]["confirmed"]
    assert (confirmed["role"], confirmed["trial"], confirmed["n"]) == ("leader", 1, 4)
    assert confirmed["seeds"] == [1000, 1001, 1002, 1003] == control["seeds"]
    assert confirmed["scores"] == pytest.approx([0.7, 0.7, 0.71, 0.69])
    assert (control["role"], control["mean"], control["deviation"]) == ("control", 0.5, 0.008165)


def test_without_a_confirmation_nothing_is_said_of_one() -> None:
    told = export_best(sweep()).provenance
    assert told["tried"] == {"schedules": 2, "plain": 1, "own": 0}
    assert not {"verdict", "confirmed"} & told.keys()
    assert "confirmed" not in told["against"]


def test_a_floor_asked_for_gives_threshold_and_figures() -> None:
    history = sweep()
    point = AskedPoint(-1.5, "recall_at_precision_0.3", 0.8, {"precision": 0.31, "recall": 0.8})
    asked = export(history, choose(history), point)
    assert (asked.logit_threshold, asked.provenance["threshold_of"]) == (-1.5, "recall_at_precision_0.3")
    assert asked.provenance["at_threshold"] == {"precision": 0.31, "recall": 0.8}


def test_what_was_preferred_operates_where_its_figure_holds() -> None:
    history = sweep()
    winner = history.trials[1]
    floored = replace(
        winner.evaluations[-1], metrics={**winner.evaluations[-1].metrics, "recall_at_precision_0.2": 0.9}
    )
    floored = replace(floored, floor_thresholds={"recall_at_precision_0.2": -3.0})
    needle = history.spec_yaml.replace("use_case: balanced", "use_case: needle")
    history = replace(
        history,
        spec_yaml=needle,
        metric="recall_at_precision_0.2",
        trials=(replace(winner, evaluations=(floored,), score=0.9),),
    )
    assert export_best(history).logit_threshold == -3.0
    preferred = export(history, choose(history, prefer=Preference.F1))
    assert (preferred.logit_threshold, preferred.provenance["preferred"]) == (1.0, "f1")
