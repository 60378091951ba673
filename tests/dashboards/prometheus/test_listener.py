"""Figures for Prometheus, scraped from the server as Prometheus scrapes them."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import histories
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sweep_events import events

from lossweep.dashboards.prometheus.listener import MetricsAddress, PrometheusListener
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.events import SweepEnded, TrialEnded, TrialEvaluated, TrialStarted
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.spaces.files.errors import UserError

SWEEP = histories.sweep(proposals=6, epochs=6)
Figures = dict[tuple[str, frozenset[str]], float]


@pytest.fixture
def listener() -> Iterator[PrometheusListener]:
    made = PrometheusListener(MetricsAddress.parse("0"))
    yield made
    made.close()


def scrape(listener: PrometheusListener) -> Figures:
    """What Prometheus would store, by a figure's name and the values of its labels but the sweep's."""
    with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(v for k, v in sample.labels.items() if k != "sweep")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(figures: Figures, name: str, *labels: str) -> float:
    return figures[f"lossweep_{name}", frozenset(labels)]


def test_before_a_sweep_begins_only_the_process_is_told_of(listener: PrometheusListener) -> None:
    figures = scrape(listener)
    assert not [name for name, _ in figures if name.startswith("lossweep_")]
    assert any(name == "process_cpu_seconds_total" for name, _ in figures)


def test_the_figures_are_those_of_the_sweep(listener: PrometheusListener) -> None:
    for event in events(SWEEP):
        if not isinstance(event, SweepEnded):
            listener.handle(event)
    figures = scrape(listener)
    for outcome, count in SWEEP.counts().items():
        assert of(figures, "trials", outcome) == count
    assert of(figures, "trials_budget") == SWEEP.budget_trials
    assert of(figures, "trials_queued") == SWEEP.budget_trials - len(SWEEP.standing)
    assert of(figures, "evaluations_total") == sum(len(trial.evaluations) for trial in SWEEP.trials)
    trained = sum(trial.evaluations[-1].epoch for trial in SWEEP.trials if trial.evaluations)
    assert of(figures, "epochs_total") == pytest.approx(trained)
    winner, control = SWEEP.winner(), SWEEP.control()
    assert winner is not None
    assert control is not None
    assert of(figures, "score", SWEEP.metric, "best") == winner.score
    assert of(figures, "score", SWEEP.metric, "control") == control.score
    assert of(figures, "sweep", "running", SWEEP.objective) == 1.0


def test_a_running_and_a_resumed_trial(listener: PrometheusListener) -> None:
    told = events(SWEEP)
    first = next(event for event in told if isinstance(event, TrialStarted))
    listener.handle(told[0])
    listener.handle(first)
    assert of(scrape(listener), "trials", "running") == 1
    whole = SWEEP.trials[0]
    evaluated = [event for event in told if isinstance(event, TrialEvaluated) and event.number == 0]
    listener.handle(evaluated[0])
    interrupted = replace(first.trial, evaluations=whole.evaluations[:1], outcome=OutcomeKind.INTERRUPTED)
    listener.handle(TrialEnded(interrupted))
    figures = scrape(listener)
    assert of(figures, "trials", "interrupted") == 1
    assert of(figures, "trials_queued") == SWEEP.budget_trials
    listener.handle(TrialStarted(replace(interrupted, outcome=OutcomeKind.RUNNING)))
    listener.handle(evaluated[1])
    epochs = evaluated[1].evaluation.epoch
    assert of(scrape(listener), "epochs_total") == pytest.approx(epochs), "none counts twice"


def test_a_paused_trial_that_is_pruned_in_the_end(listener: PrometheusListener) -> None:
    told = events(SWEEP)
    first = next(event for event in told if isinstance(event, TrialStarted))
    listener.handle(told[0])
    listener.handle(first)
    retried = (DecisionRecord(8, Decision.RETRY, "a worker was lost"),)
    waits = replace(first.trial, decisions=retried, outcome=OutcomeKind.PAUSED)
    listener.handle(TrialEnded(waits))
    figures = scrape(listener)
    assert (of(figures, "trials", "paused"), of(figures, "trials", "running")) == (1, 0)
    assert of(figures, "retries_total") == 0
    listener.handle(TrialEnded(replace(waits, outcome=OutcomeKind.PRUNED)))
    figures = scrape(listener)
    assert (of(figures, "trials", "paused"), of(figures, "trials", "pruned")) == (0, 1)
    assert of(figures, "retries_total") == 1


def test_the_end_of_the_sweep_is_told_until_the_driver_goes(listener: PrometheusListener) -> None:
    for event in events(replace(SWEEP, state=SweepState.FINISHED)):
        listener.handle(event)
    assert of(scrape(listener), "sweep", "finished", SWEEP.objective) == 1.0


def test_it_listens_on_loopback_and_stops_at_the_end() -> None:
    listener = PrometheusListener(MetricsAddress.parse("0"))
    assert listener._server.server_address[0] == "127.0.0.1"
    listener.close()
    with pytest.raises(urllib.error.URLError):
        scrape(listener)


def test_drivers_on_one_machine_share_a_range_of_ports() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="the port is taken"):
            PrometheusListener(MetricsAddress.parse(str(port)))
        listener = PrometheusListener(MetricsAddress.parse(f"{port}-{min(port + 20, 65_535)}"))
        assert listener.port > port
        listener.close()


@pytest.mark.parametrize(
    ("text", "host", "ports"),
    [
        ("9200", "127.0.0.1", range(9200, 9201)),
        ("0.0.0.0:9200", "0.0.0.0", range(9200, 9201)),
        ("[::1]:9200-9203", "::1", range(9200, 9204)),
    ],
)
def test_addresses(text: str, host: str, ports: range) -> None:
    assert MetricsAddress.parse(text) == MetricsAddress(host, ports)


@pytest.mark.parametrize("text", ["", "http", "9300-9200", "70000", "host:", "-1"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(UserError, match="not a port"):
        MetricsAddress.parse(text)


def test_a_host_that_is_none_of_this_machine_is_said() -> None:
    with pytest.raises(UserError, match=r"cannot listen on 203\.0\.113\.7:9200"):
        PrometheusListener(MetricsAddress.parse("203.0.113.7:9200"))
