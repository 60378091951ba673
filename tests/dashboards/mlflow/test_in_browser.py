"""MLflow's pages as `lossweep dashboard` opens them, in a real browser, with a hostile class name."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import histories
import optuna
import pytest
from browser import Browser
from mlflow_reading import read

from lossweep.dashboards.mlflow.views import run_link
from lossweep.dashboards.report.plots.catalog import PLOTS
from lossweep.dashboards.serving import opening
from lossweep.dashboards.serving.dashboard import Dashboard, start_dashboard
from lossweep.dashboards.serving.processes import choose_port
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.result import verdict_of
from lossweep.spaces.files.errors import UserError

pytestmark = pytest.mark.slow

# MLflow asks for a user it does not have, and its own layout code complains of itself.
MLFLOWS_OWN = ("users/current", "ResizeObserver", "favicon")
CLOSE_ASSISTANT = """
for (const key of Object.keys(localStorage)) if (key.includes('assistant') && key.includes('panelOpen'))
  localStorage.setItem(key, 'false');
localStorage.setItem('mlflow.assistant.panelOpen', 'false');
"""


@dataclass
class Served:
    dashboard: Dashboard
    sweep: SweepHistory
    base: str
    parent: str


@pytest.fixture(scope="module")
def served(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(mlflow_template, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    sweep = histories.sweep(proposals=1, hostile=True)
    study = f"sqlite:///{folder / 'study.db'}"
    optuna.create_study(storage=study, study_name="vehicles")
    with start_dashboard(
        lambda: sweep, uri, database_url=study, port=0, optuna=True, log=folder / "server.log"
    ) as dashboard:
        parents, _ = read(uri)
        yield Served(dashboard, sweep, dashboard.mlflow.partition("/#")[0], parents[0].run_id)


@pytest.fixture
def wide(browser: Browser, served: Served) -> Iterator[Browser]:
    """The browser in a wide window, MLflow's chat panel closed."""
    browser.driver.set_window_size(2200, 1100)
    browser.open(f"{served.base}/#/experiments/1/runs?workflowType=machine_learning")
    browser.until(lambda: "matching run" in text(browser), "MLflow's page")
    browser.run(CLOSE_ASSISTANT)
    yield browser
    browser.driver.set_window_size(1280, 1000)


def text(browser: Browser) -> str:
    return str(browser.run("return document.body.innerText"))


def page_with(browser: Browser, words: str, what: str) -> str:
    """The page's text, once it holds the words."""
    browser.until(lambda: words in text(browser), what)
    return text(browser)


def own_errors(browser: Browser) -> list[str]:
    return [line for line in browser.errors() if not any(known in line for known in MLFLOWS_OWN)]


def test_the_leaderboard_lists_the_trials_with_precision_recall_and_f1(wide: Browser, served: Served) -> None:
    wide.open(served.dashboard.mlflow)
    wide.until(lambda: f"{len(served.sweep.trials)} matching runs" in text(wide), "the filtered list")
    page = page_with(wide, "best/tuned_f1", "the columns")
    for column in ("best/precision", "best/recall", "best/f1", "best/ap", "best/score"):
        assert column in page
    assert "Sort: best/score" in page
    assert "vehicles: leaderboard" in page
    order = [page.index(f"#{number} ") for number in (2, 1, 0)]
    assert order == sorted(order), "the winner stands first"
    figures = served.sweep.trials[2].evaluations[-1].metrics
    assert f"{figures['precision']:.6f}"[:7] in page
    assert not wide.alerted()
    assert own_errors(wide) == []
    assert wide.foreign_requests() == []


def test_the_sweep_unfolds_into_its_trials(wide: Browser, served: Served) -> None:
    wide.open(served.dashboard.views["sweeps"])
    wide.until(lambda: "sweep vehicles" in text(wide) and "best/recall" in text(wide), "the sweep's row")
    assert "#2 " not in text(wide)
    winner = served.sweep.trials[2].evaluations[-1].metrics
    assert f"{winner['precision']:.6f}"[:7] in text(wide), "the sweep's row shows its winner's figures"
    wide.until(
        lambda: wide.run(
            "const b = document.querySelector('[data-testid=\"expander-button\"], .ag-row button');"
            "if (b) b.click(); return !!b"
        ),
        "the unfolding button",
    )
    page = page_with(wide, "#2 ", "the nested trials")
    assert all(f"#{trial.number} " in page for trial in served.sweep.trials)
    assert f"{served.sweep.trials[0].evaluations[-1].metrics['recall']:.6f}"[:7] in page
    assert not wide.alerted()


def test_the_curves_and_outcomes_open_as_charts(wide: Browser, served: Served) -> None:
    wide.open(served.dashboard.views["curves"])
    wide.until(
        lambda: wide.run("return document.querySelectorAll('.scatterlayer .trace').length") > 3, "lines"
    )
    page = text(wide)
    assert all(name in page for name in ("recall", "precision", "f1", "ap"))
    wide.open(served.dashboard.views["by outcome"])
    page = page_with(wide, "Group: pruned", "the groups")
    assert all(f"Group: {name}" in page for name in ("completed", "pruned", "diverged", "failed"))
    assert own_errors(wide) == []


def test_a_confirmation_is_grouped_by_its_arms(browser: Browser, store: str) -> None:
    sweep = histories.confirmed(proposals=0, top=1, seeds=2)
    with start_dashboard(lambda: sweep, store, port=0) as dashboard:
        browser.driver.set_window_size(2200, 1100)
        browser.open(dashboard.views["leaderboard"])
        browser.until(lambda: f"{len(sweep.trials)} matching runs" in text(browser), "the search alone")
        browser.run(CLOSE_ASSISTANT)
        browser.open(dashboard.views["confirmation"])
        page = page_with(browser, "#2 rates_alone", "the arms")
        assert all(f"#2 {role}" in page for role in ("leader", "first_phase_alone", "one_loss"))
        assert "#6 control" in page
        assert "test/tuned_f1" in page
        assert "best/" not in page
        control = verdict_of(sweep)
        assert control is not None
        assert f"{control.control.summary.mean:.6f}"[:6] in page, "a group shows its mean"
    browser.driver.set_window_size(1280, 1000)


def test_the_report_is_drawn_inside_mlflow(wide: Browser, served: Served) -> None:
    wide.open(run_link(served.base, "1", served.parent, "report.html"))
    frame = wide.until(
        lambda: next(iter(wide.driver.find_elements("css selector", "iframe")), None), "the artifact's frame"
    )
    wide.driver.switch_to.frame(frame)
    try:
        drawn = "return document.documentElement.dataset.drawn"
        wide.until(lambda: wide.run(drawn) == "yes", "the report to be drawn")
        count = "return document.querySelectorAll('#plot-timeline .scatterlayer .trace').length"
        wide.until(lambda: wide.run(count) == 5, "the timeline's five lines")
        empty = wide.run(
            "return [...document.querySelectorAll('.plot')].filter(f => !f.querySelector('.trace, .point'))"
            ".map(f => f.id)"
        )
        # Of one proposal nothing can be said of what matters, and the page says so; all else is drawn.
        assert empty == [f"plot-{name}" for name, plot in PLOTS.items() if plot(served.sweep) is None]
        assert empty == ["plot-importance"]
        said = wide.run("return document.querySelector('#plot-importance .empty').innerText")
        assert said == "Too few trials to say."
        wide.run(
            "const s = document.getElementById('trial'); s.value = '0'; s.dispatchEvent(new Event('change'))"
        )
        assert wide.run("return document.getElementById('plot-timeline').layout.shapes.length") == 1
    finally:
        wide.driver.switch_to.default_content()
    assert not wide.alerted()
    assert own_errors(wide) == []
    assert wide.foreign_requests() == []


def test_the_sweeps_run_shows_the_standing_result(wide: Browser, served: Served) -> None:
    wide.open(run_link(served.base, "1", served.parent))
    page = page_with(wide, "leads with", "the description")
    assert "unconfirmed" in page
    assert not wide.alerted()


def test_the_report_server_answers_this_machine_only(served: Served) -> None:
    host, _, port = served.dashboard.report.removeprefix("http://").rstrip("/").partition(":")
    assert host == "127.0.0.1"
    answers = []
    for name, path in (
        (f"127.0.0.1:{port}", "/"),
        ("evil.example:80", "/"),
        (f"localhost:{port}", "/nothing"),
    ):
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", path, headers={"Host": name})
        answer = connection.getresponse()
        answers.append((answer.status, b"lossweep report" in answer.read()))
        connection.close()
    assert answers == [(200, True), (403, False), (404, False)]


def test_optuna_dashboard_shows_the_study_and_no_command_line_names_a_store(
    browser: Browser, served: Served
) -> None:
    assert served.dashboard.optuna is not None
    browser.open(served.dashboard.optuna)
    browser.until(lambda: "vehicles" in text(browser), "the study in optuna-dashboard")
    lines = [
        Path(f"/proc/{child.pid}/cmdline").read_bytes()
        for child in served.dashboard._children
        if Path("/proc").is_dir()
    ]
    assert not any(b"sqlite:" in line for line in lines)


def test_a_port_that_is_taken_is_named(served: Served, tmp_path: Path) -> None:
    taken = int(served.base.rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {taken} on 127.0.0.1"):
        choose_port("127.0.0.1", taken, 5000)
    assert choose_port("127.0.0.1", None, taken) != taken


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_asks_for_an_end_ends_the_servers(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    class Pages(Dashboard):
        def wait(self) -> None:
            os.kill(os.getpid(), number)
            time.sleep(30)

        def close(self) -> None:
            ended.append(self.report)

    monkeypatch.setattr(opening, "start_dashboard", lambda *given, **more: Pages("mlflow", {}, "report"))
    before, said = signal.getsignal(number), []
    opening.serve_dashboard(histories.sweep, "sqlite://", echo=said.append)
    assert ended == ["report"]
    assert said[-1] == "Ending the servers."
    assert signal.getsignal(number) is before
