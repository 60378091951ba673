"""The report as text: complete, escaped, self-contained, and small enough with 500 trials."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from importlib.resources import files

import histories
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.dashboards.report.build import build_report, report_page
from lossweep.dashboards.report.plots.catalog import PLOTS
from lossweep.dashboards.report.plots.plane import pareto_front, precision_recall_plane
from lossweep.dashboards.report.rendering import embedded
from lossweep.dashboards.report.sections.verdict import Verdict
from lossweep.dashboards.result import metric_words, sweep_result
from lossweep.search.pruning import audit
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found.group(1))  # type: ignore[no-any-return] # a dict by construction


@pytest.mark.parametrize("name", PLOTS)
def test_each_plot_is_valid_plotly_and_not_empty(name: str) -> None:
    plot = PLOTS[name](histories.sweep(proposals=12))
    assert plot is not None
    drawn = go.Figure(plot)  # plotly refuses an unknown property or value
    assert len(drawn.data) > 0


@pytest.mark.parametrize("name", PLOTS)
def test_no_plot_fails_without_trials(name: str) -> None:
    assert PLOTS[name](replace(histories.sweep(), trials=())) is None


def test_the_page_holds_every_trial_with_its_phases() -> None:
    sweep = histories.sweep()
    trials = data_of(build_report(sweep))["trials"]
    assert isinstance(trials, list)
    assert [trial["number"] for trial in trials] == [trial.number for trial in sweep.trials]
    winner = trials[2]
    assert [phase["kind"] for phase in winner["phases"]] == ["wCE", "Jaccard"] * 3
    assert [(phase["from"], phase["to"]) for phase in winner["phases"]][:2] == [(0, 64), (64, 128)]
    assert winner["series"]["recall"][0] == pytest.approx(
        sweep.trials[2].evaluations[0].metrics["recall"], rel=1e-3
    )


def test_the_page_asks_the_network_for_nothing() -> None:
    page = build_report(histories.sweep())
    own = page[: page.index("<script>/**")] if "<script>/**" in page else page.split("plotly.js")[0]
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', own) == []
    assert "default-src 'none'" in page


def test_user_text_never_becomes_markup() -> None:
    sweep = histories.sweep(hostile=True)
    page = build_report(sweep)
    assert histories.HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert json.dumps(data_of(page)).count("alert(1)") > 0, "it is shown, not swallowed"


def test_the_templates_let_no_value_through_unescaped() -> None:
    templates = list(files("lossweep.dashboards.report").joinpath("page").iterdir())
    assert len(templates) > 3
    for template in templates:
        if template.name.endswith(".html"):
            words = template.read_text(encoding="utf-8")
            assert not re.search(r"\|\s*safe|autoescape|Markup", words), template.name
            assert not re.search(r"=[^\"'<>\s]*\{\{", words), f"{template.name}: an attribute without quotes"


def test_a_verdict_stands_on_top_and_there_is_none_before_one() -> None:
    page = report_page(histories.sweep())
    assert page.verdict is None
    assert 'id="verdict"' not in page.to_html()
    words = (f"{histories.HOSTILE} earned .01", "the rates .03")
    told = replace(page, verdict=Verdict("It ties with <plain> cross-entropy.", words)).to_html()
    verdict = told[told.index('<section id="verdict">') : told.index('<section id="headline">')]
    assert "It ties with &lt;plain&gt; cross-entropy." in verdict
    assert "&lt;script&gt;alert(1)&lt;/script&gt; earned .01" in verdict
    assert "the rates .03" in verdict


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
@settings(max_examples=50)
def test_embedded_json_is_the_same_data_and_cannot_end_its_element(data: object) -> None:
    written = embedded([data, "</script><!--", "\u2028"])
    assert json.loads(written)[0] == data
    assert not set("<>&\u2028\u2029") & set(written)


def test_the_headline_is_honest() -> None:
    sweep = histories.sweep()
    assert "unconfirmed" in sweep_result(sweep).sentence()
    clear = sweep_result(histories.confirmed(seeds=3)).sentence()
    assert "Trial 2 beats the control" in clear
    assert "3 fresh seeds" in clear
    assert "cannot be told" not in clear
    unclear = histories.confirmed(top=1, levels={Role.LEADER: 0.622})
    assert "cannot be told yet" in sweep_result(unclear).sentence()
    led = histories.sweep(proposals=0)
    beaten = replace(led, trials=(replace(led.trials[0], score=0.9), *led.trials[1:3]))
    assert "none of the 2 loss schedules tried has beaten it" in sweep_result(beaten).sentence()
    assert "no winner" in sweep_result(replace(sweep, trials=())).sentence()
    alone = replace(sweep, trials=sweep.trials[2:3])
    assert "nothing to hold it against" in sweep_result(alone).sentence()
    infeasible = replace(sweep, trials=(sweep.trials[0], replace(sweep.trials[2], feasible=False)))
    assert "Trial 2 leads" not in sweep_result(infeasible).sentence()


def test_lower_is_better_metrics_are_read_the_right_way_round() -> None:
    sweep = histories.sweep()
    worse = replace(sweep.trials[2], score=0.9)
    flipped = replace(sweep, direction="minimize", metric="count_error", trials=(sweep.trials[0], worse))
    assert sweep_result(flipped).control_wins


def test_the_control_stands_right_under_the_best() -> None:
    page = build_report(histories.sweep())
    table = page[page.index('<table id="leaderboard-table"') :]
    numbers = re.findall(r'data-trial="(\d+)"', table[: table.index("</table>")])
    assert numbers[:2] == ["2", "0"]
    assert len(numbers) == len(set(numbers)) == len(histories.sweep().ranked())


def test_metric_names_in_words() -> None:
    assert metric_words("tuned_object_f1") == "object F1 (tuned threshold)"
    assert metric_words("recall/ship") == "recall (at 0.5), ship"
    assert metric_words("ap") == "AP"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
@settings(max_examples=50)
def test_the_pareto_front_is_what_nothing_dominates(points: list[tuple[float, float]]) -> None:
    front = pareto_front(points)
    dominated = {p for p in points if any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    assert set(front) == set(points) - dominated
    assert front == sorted(front)


def five_hundred() -> SweepHistory:
    sweep = histories.sweep(proposals=0)
    many = [
        histories.trial(
            number,
            histories.cycling(1 + number % 4),
            0.2 + (number % 50) / 100,
            OutcomeKind.PRUNED if number % 3 == 0 else OutcomeKind.COMPLETED,
            epochs=30,
        )
        for number in range(6, 500)
    ]
    return replace(sweep, trials=(*sweep.trials, *many), budget_trials=500, budget_epochs=30)


@pytest.mark.slow
def test_500_trials_take_under_ten_seconds_and_eight_megabytes() -> None:
    sweep = five_hundred()
    began = time.process_time()
    page = build_report(sweep)
    assert time.process_time() - began < 10.0
    assert len(page.encode()) < 8_000_000
    assert page.count("<option ") == 500


def with_trials(*trials: TrialHistory, **changes: object) -> SweepHistory:
    return replace(histories.sweep(), trials=trials, **changes)  # type: ignore[arg-type] # passed on


def small_sweeps() -> dict[str, SweepHistory]:
    """What a sweep may look like early, or when it went wrong."""
    every = histories.sweep("running").trials
    by_outcome = {trial.outcome: trial for trial in every}
    failed = [replace(by_outcome[OutcomeKind.FAILED], number=number) for number in range(3)]
    bare = replace(every[-1], evaluations=(), score=None, gpu_seconds=0.0)
    two = replace(every[2], values=(0.7, 0.4))
    return {
        "one control": with_trials(every[0]),
        "controls alone": with_trials(*every[:2]),
        "no control": with_trials(*every[6:8]),
        "two proposals": with_trials(every[0], *every[6:8]),
        "three proposals": with_trials(every[0], *every[6:9]),
        "all failed": with_trials(*failed, state="failed"),
        "all diverged": with_trials(histories.diverged(0), histories.diverged(1)),
        "all infeasible": with_trials(*(replace(trial, feasible=False) for trial in every[:4])),
        "just started": with_trials(bare, state="running"),
        "mid-sweep": with_trials(every[0], every[-1], replace(bare, number=bare.number + 1), state="running"),
        "interrupted": with_trials(replace(every[-1], outcome=OutcomeKind.INTERRUPTED), state="interrupted"),
        "several objectives": with_trials(every[0], two, objective="max precision, max recall"),
        "equal scores": with_trials(*(replace(trial, score=0.5) for trial in every[:12] if trial.score)),
        "equal parameters": with_trials(
            *(replace(trial, parameters={"cycles": 1}) for trial in every[6:]), *every[:1]
        ),
        "scores of nothing measured": with_trials(*(replace(t, evaluations=()) for t in every[:3])),
    }


@pytest.mark.parametrize("name", small_sweeps())
def test_small_and_broken_sweeps_are_shown(name: str) -> None:
    sweep = small_sweeps()[name]
    page = build_report(sweep)
    for plot in data_of(page)["plots"].values():  # type: ignore[attr-defined] # a dict by construction
        if plot is not None:
            assert len(go.Figure(plot).data) > 0
    assert page.count("<option ") == len(sweep.trials)
    assert "NaN" not in json.dumps(data_of(page))


def test_when_the_control_leads_the_best_proposal_stands_beside_it() -> None:
    sweep = histories.sweep()
    leading = replace(sweep, trials=(replace(sweep.trials[0], score=0.9), *sweep.trials[1:]))
    assert leading.winner() is leading.control()
    contender = leading.contender()
    assert contender is not None
    assert contender.number == 2
    head = build_report(leading).partition('<section id="schedule">')[0]
    assert "Best proposal" in head
    assert "Control, and leader" in head
    assert f"{(contender.score or 0) - 0.9:+.3f}" in head
    only_controls = replace(leading, trials=leading.trials[:2])
    assert "Best other control" in build_report(only_controls)
    alone = replace(leading, trials=leading.trials[:1])
    assert alone.contender() is None
    assert "none yet" in build_report(alone)


def test_seconds_are_those_of_gpus_only_when_trials_hold_one() -> None:
    sweep = histories.sweep()
    assert "over GPU-seconds" in build_report(sweep)
    for share, words in (
        ("0", "worker-seconds (no GPU)"),
        ("0.25", "GPU-seconds"),
        ("null", "worker-seconds (GPU-seconds, where there is one)"),
    ):
        written = f"{sweep.spec_yaml}resources: {{gpus_per_trial: {share}}}\n"
        assert f"over {words}" in build_report(replace(sweep, spec_yaml=written))


def test_a_sweep_for_a_floor_is_drawn_where_it_operates() -> None:
    sweep = histories.sweep()
    metric = "recall_at_precision_0.2"
    trials = tuple(
        replace(
            trial,
            evaluations=tuple(
                replace(e, metrics={**e.metrics, metric: e.metrics["recall"] / 2}) for e in trial.evaluations
            ),
        )
        for trial in sweep.trials
    )
    plot = precision_recall_plane(replace(sweep, metric=metric, trials=trials))
    assert plot is not None
    buttons = plot["layout"]["updatemenus"][0]["buttons"]
    assert [button["label"] for button in buttons] == ["at precision 0.2", "at the tuned threshold", "at 0.5"]
    shown = [trace for trace in plot["data"] if trace.get("visible") is True and "customdata" in trace]
    assert shown
    assert all(y == 0.2 for trace in shown for y in trace["y"])
    assert all(len(button["args"][0]["visible"]) == len(plot["data"]) for button in buttons)


def test_the_report_says_how_often_the_pruner_would_have_been_wrong() -> None:
    sweep = histories.audited(histories.sweep())
    page = build_report(sweep)
    stops = page[page.index('<section id="stops">') : page.index('<section id="plane">')]
    found = audit(sweep)
    assert (found.pruned, found.spared, found.finished) == (1, 2, 2)
    assert str(found) in stops
    assert f"2 completed, and it was wrong about {found.wrong or 'none'} of them" in stops
    for trial in sweep.trials[-2:]:
        assert f'data-trial="{trial.number}">#{trial.number}</button> completed {trial.score:.3f}' in stops
    untested = build_report(histories.sweep())
    assert "how often it is wrong is not known" in untested
    unpruned = replace(sweep, trials=sweep.trials[:3])
    assert 'id="pruner-audit"' not in build_report(unpruned)
