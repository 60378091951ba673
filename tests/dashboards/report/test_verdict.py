"""The verdict in the report: its figures are those of `search.verdicts`, and say what they are against."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import histories
import numpy as np
import plotly.graph_objects as go
import pytest

from lossweep.dashboards.report.build import build_report, report_page
from lossweep.dashboards.report.overlays import tile
from lossweep.dashboards.report.plots.catalog import VERDICT_PLOTS
from lossweep.dashboards.report.plots.confirmation import MOST_PAIRS, confirmed_arms, seed_pairs
from lossweep.dashboards.result import metric_words
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.optimism import expected_optimism, shrinkages
from lossweep.search.verdicts.result import SweepVerdict, between, verdict_of
from lossweep.search.verdicts.sentence import sentence


def verdict(history: SweepHistory) -> SweepVerdict:
    found = verdict_of(history)
    assert found is not None
    return found


def section(page: str, name: str) -> str:
    begin = page.index(f'<section id="{name}">')
    return page[begin : page.index("</section>", begin)]


def words_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


@pytest.fixture(scope="module")
def history() -> SweepHistory:
    return histories.confirmed()


def test_the_sentence_is_that_of_the_verdict_and_stands_on_top(history: SweepHistory) -> None:
    page = build_report(history)
    assert page.index('<section id="verdict">') < page.index('<section id="headline">')
    told = sentence(verdict(history), metric_words(history.metric), history.name)
    assert told in words_of(section(page, "verdict"))
    assert page.count('id="sentence"') == 1
    assert '<span class="chip beats">beats</span>' in section(page, "verdict")
    assert "unconfirmed" not in page


@pytest.mark.parametrize(
    ("leader", "chip"), [(0.70, "beats"), (0.55, "loses"), (0.622, "cannot-tell"), (None, "ties")]
)
def test_each_verdict_has_its_chip(leader: float | None, chip: str) -> None:
    sweep = histories.confirmed(top=1, levels={Role.LEADER: leader or 0.62})
    assert sweep.confirmation is not None
    if leader is None:  # as wide a margin as makes any difference a small one
        plan = replace(sweep.confirmation.plan, margin=0.5)
        sweep = replace(sweep, confirmation=replace(sweep.confirmation, plan=plan))
    page = report_page(sweep)
    assert page.verdict is not None
    assert page.verdict.tag is not None
    assert page.verdict.tag.outcome == chip
    assert page.verdict.tag.words == verdict(sweep).headline.judged.verdict.value


def test_the_table_has_every_arm_with_every_seed(history: SweepHistory) -> None:
    found, page = verdict(history), report_page(history)
    assert page.verdict is not None
    assert len(page.verdict.arms) == len(found.arms) > 4
    for row, arm in zip(page.verdict.arms, found.arms, strict=True):
        assert row.scores == tuple(f"{arm.scores[seed]:.3f}" for seed in range(5))
        assert row.mean == f"{arm.summary.mean:.3f}"
        assert row.deviation == f"{arm.summary.deviation:.3f}"
        assert row.seeds == "5"
        assert row.schedule.line == str(arm.arm.schedule)
        difference = between(arm, found.control, found.sign)
        assert difference is not None
        assert row.difference.figure == ("–" if arm is found.control else f"{difference.mean:+.3f}")
    leader, ablation = page.verdict.arms[1], page.verdict.arms[2]
    low, high = found.leaders[0].judged.interval
    assert leader.difference.interval == f"{low:+.3f} to {high:+.3f}", (
        "of all leaders together, as it was judged"
    )
    assert leader.role == "leader #2"
    assert ablation.role == "rates and lengths with plain cross-entropy"
    shown = words_of(section(page.to_html(), "verdict"))
    for row in page.verdict.arms:
        assert f"{row.difference.figure} {row.difference.interval}".strip() in shown
        assert " ".join(row.scores) in shown


def test_each_leader_is_taken_apart(history: SweepHistory) -> None:
    found, page = verdict(history), report_page(history)
    assert page.verdict is not None
    first, second = page.verdict.leaders
    leader = found.leaders[0]
    parts = (leader.loss, leader.rates, leader.switching, leader.one_loss)
    assert tuple(part.figure for part in first.parts) == tuple(
        f"{p.mean:+.3f}" for p in parts if p is not None
    )
    assert all(part.interval for part in first.parts)
    assert second.parts[2].figure == second.parts[3].figure == "–", "a single phase has nothing to switch"
    assert leader.image_interval is not None
    assert first.images == "{:+.3f} to {:+.3f}".format(*leader.image_interval)
    again = next(one for one in shrinkages(history) if one.trial == 2)
    assert first.again == f"{again.searched:.3f} → {again.mean:.3f}"


def test_where_less_is_better_what_was_earned_is_above_zero(history: SweepHistory) -> None:
    sweep = replace(history, direction="minimize")
    losing, page = verdict(sweep), report_page(sweep).verdict
    assert page is not None
    assert page.leaders[0].tag.outcome == "loses"
    raw = losing.leaders[0].scores.summary.mean - losing.control.summary.mean
    assert page.arms[1].difference.figure == f"{raw:+.3f}"
    loss = losing.leaders[0].loss
    assert loss is not None
    assert loss.mean < 0 < raw
    assert page.leaders[0].parts[0].figure == f"{loss.mean:+.3f}"


def test_a_divergence_is_told_beside_the_number_of_seeds() -> None:
    sweep = histories.confirmed(top=1, diverged=(Role.RATES_ALONE, 1))
    page = report_page(sweep).verdict
    assert page is not None
    row = next(row for row in page.arms if row.role.startswith("rates"))
    assert row.seeds == "5 (1 diverged)"
    assert row.scores[1] == "0.000"


def test_a_confirmation_that_has_begun_says_how_far_it_is() -> None:
    sweep = histories.confirmed(ended=3)
    page = report_page(sweep)
    assert sweep.confirmation is not None
    assert page.verdict is not None
    assert page.verdict.tag is None
    assert f"3 of {sweep.confirmation.planned} trainings have ended" in page.verdict.sentence
    assert "unconfirmed" in page.headline.sentence
    assert 'id="plot-confirmed"' not in page.to_html()


def test_the_plots_show_every_seed_and_pair(history: SweepHistory) -> None:
    found = verdict(history)
    for plot in VERDICT_PLOTS.values():
        drawn = plot(found)
        assert drawn is not None
        assert len(go.Figure(drawn).data) > 0
    arms = confirmed_arms(found)
    assert arms is not None
    dots, means = arms["data"][::2], arms["data"][1::2]
    assert [len(trace["x"]) for trace in dots] == [5] * len(found.arms)
    for trace, arm in zip(means, found.arms, strict=True):
        assert trace["x"] == [pytest.approx(arm.summary.mean, rel=1e-3)]
        assert trace["error_x"]["array"][0] == pytest.approx(
            arm.summary.interval()[1] - arm.summary.mean, rel=1e-3
        )
    pairs = seed_pairs(found)
    assert pairs is not None
    lines = [trace for trace in pairs["data"] if trace["name"] != "mean"]
    assert sum(x is None for trace in lines for x in trace["x"]) == 5 * len(found.leaders)
    assert {trace["line"]["dash"] for trace in lines} == {"solid", "dash"}, "told apart without their colours"
    tally = pairs["layout"]["annotations"][0]["text"]
    assert tally == "#2 ahead<br>in 5 of 5"


def test_many_leaders_keep_their_pairs_apart() -> None:
    sweep = histories.confirmed(proposals=12, top=6, seeds=2)
    pairs = seed_pairs(verdict(sweep))
    assert pairs is not None
    assert len(pairs["layout"]["annotations"]) == MOST_PAIRS
    arms = confirmed_arms(verdict(sweep))
    assert arms is not None
    low, high = arms["layout"]["xaxis"]["range"]
    values = [value for arm in verdict(sweep).arms for value in arm.values]
    spread = max(values) - min(values)
    assert high - low < 2 * spread, "the intervals of two seeds would leave the dots no room"


def test_the_optimism_stands_under_the_headline_until_it_is_known(history: SweepHistory) -> None:
    once = replace(histories.sweep(), trials=histories.sweep().trials[:4])
    assert expected_optimism(once).spread is None
    assert "no schedule was trained twice; lossweep confirm vehicles" in section(
        build_report(once), "headline"
    )
    twice = histories.sweep()
    expected = expected_optimism(twice).of_schedules
    assert expected is not None
    assert f"expected to look {expected:.3f} too good" in section(build_report(twice), "headline")
    confirmed = build_report(history)
    assert 'id="optimism"' not in confirmed
    came_to = next(one for one in shrinkages(history) if one.trial == 2)
    assert f"it had looked {came_to.optimism:.3f} too good" in section(confirmed, "verdict")


def test_everything_that_is_held_against_the_control_says_what_that_was(history: SweepHistory) -> None:
    mask = np.ones((4, 4), np.uint8)
    page = build_report(history, [tile("tile 7", mask, mask, mask, mask)])
    tried = history.tried()
    assert (tried.schedules, tried.plain) == (12, 4)
    control = "plain cross-entropy at 0.00316 dropping to a tenth"
    for name in ("verdict", "headline", "leaders", "matters", "overlays"):
        words = words_of(section(page, name))
        assert control in words, name
        assert "the best of 4 plain cross-entropies" in words, name
        assert "12 loss schedules" in words, name
    marked = re.findall(r"#(\d+) <span[^>]*>\w+</span> <small>the control</small>", section(page, "leaders"))
    winner = history.control()
    assert winner is not None
    assert marked == [str(winner.number)]


def test_the_trials_of_the_confirmation_can_be_chosen_but_lead_nothing(history: SweepHistory) -> None:
    page = report_page(history)
    assert history.confirmation is not None
    confirming = {trial.number for trial in history.confirmation.trials}
    assert {option.number for option in page.confirming} == confirming
    assert "seed 1 of control" in page.confirming[0].line
    assert confirming <= {trial["number"] for trial in page.data["trials"]}
    assert not confirming & {row.number for row in page.leaderboard.rows}
    assert not confirming & {option.number for option in page.trials}
    assert page.to_html().count("<optgroup") == 1
    assert "<optgroup" not in build_report(histories.sweep())
