"""A suite's table: the verdict of each data set, and the mean rank of each kind of schedule."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from lossweep.dashboards.comparison.page import suite_page
from lossweep.dashboards.comparison.suite import best_by_family, families_of, ranks_of, suite_result
from lossweep.dashboards.terminal.suite import SuiteTable
from lossweep.search.conducting.settings import ConfirmSettings
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind


@pytest.fixture(scope="module")
def histories() -> tuple[SweepHistory, ...]:
    return tuple(
        simulate_sweep(
            14,
            seed,
            name=f"fields.{name}",
            trainer=SimulatedTrainer(),
            confirm=ConfirmSettings(top=1, seeds=3, margin=0.005),
        )
        for seed, name in enumerate(("roads", "ships"))
    )


def test_equal_scores_share_the_mean_of_their_places() -> None:
    assert ranks_of({"a": 0.5, "b": 0.7, "c": 0.5}, maximize=True) == {"b": 1.0, "a": 2.5, "c": 2.5}
    assert ranks_of({"a": 0.5, "b": 0.7, "c": 0.5}, maximize=False) == {"a": 1.5, "c": 1.5, "b": 3.0}


def test_a_family_is_as_good_as_its_best_completed_trial(histories: tuple[SweepHistory, ...]) -> None:
    for history in histories:
        for losses, score in best_by_family(history).items():
            alike = [
                t.score
                for t in history.trials
                if losses in families_of(t.schedule)
                and t.outcome is OutcomeKind.COMPLETED
                and t.score is not None
            ]
            assert score == max(alike)


def test_families_with_a_score_everywhere_come_first_by_mean_rank(
    histories: tuple[SweepHistory, ...],
) -> None:
    result = suite_result("fields", histories)
    whole, others = result.families[: result.complete], result.families[result.complete :]
    assert whole, "the named controls at least are tried everywhere"
    assert all(len(each.scores) == 2 for each in whole)
    assert all(len(each.scores) == 1 for each in others)
    assert [each.mean_rank for each in whole] == sorted(each.mean_rank for each in whole)
    for sweep in result.sweeps:
        assert any(sweep in each.wins for each in result.families)
    assert whole[0].losses in result.sentence()


def test_the_verdicts_are_those_of_the_sweeps(histories: tuple[SweepHistory, ...]) -> None:
    result = suite_result("fields", histories)
    assert [row[0] for row in result.rows] == ["roads", "ships"]
    assert all("3 seeds" in row[4] for row in result.rows)
    bare = suite_result("fields", [replace(histories[0], confirmation=None), histories[1]])
    assert bare.rows[0][3] == "not confirmed"
    assert any("Not confirmed: fields.roads" in caveat for caveat in bare.caveats)


@pytest.mark.parametrize("width", [50, 80, 160])
def test_terminal_and_page_say_the_same(histories: tuple[SweepHistory, ...], width: int) -> None:
    result = suite_result("fields", histories)
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(SuiteTable(result))
    page = suite_page(result)
    assert all(len(line) <= width for line in text.getvalue().splitlines())
    for family in result.families:
        assert family.losses.split(" ")[0] in text.getvalue()
        assert family.losses in page
    for caveat in result.caveats:
        assert caveat.split(",")[0].split("'")[0] in page
