"""What watches a driver: figures for Prometheus and a log for programs, where they are asked for."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lossweep.dashboards.prometheus.listener import PrometheusListener
from lossweep.dashboards.structured_log import EventLog
from lossweep.search.study.events import Listener, SweepStarted
from lossweep.search.study.faults import SweepFailed
from tests.dashboards import histories
from tests.lossweep.test_mistakes import lossweep, sweep_file  # noqa: F401  # a fixture

SWEEP = histories.sweep(proposals=2, epochs=4)


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> list[Listener]:
    """The listeners that a driver was given. It drives nothing, but for telling them of a sweep."""
    given: list[Listener] = []

    def run(*_: object, listeners: tuple[Listener, ...] = (), **__: object) -> None:
        given.extend(listeners)
        for listener in listeners:
            listener.handle(SweepStarted(SWEEP))
            if isinstance(listener, PrometheusListener):
                with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=60) as page:
                    assert f'lossweep_trials_budget{{sweep="{SWEEP.name}"}}' in page.read().decode()
            listener.close()
        raise SweepFailed("nothing was driven")

    monkeypatch.setattr("lossweep.sweeping.run_recorded", run)
    return given


def test_nothing_listens_unless_it_is_asked_for(lossweep: Any, listeners: Any, tmp_path: Path) -> None:  # noqa: F811
    assert lossweep("submit", sweep_file(tmp_path))[0] == 1
    assert listeners == []


def test_figures_are_served_while_the_driver_runs(
    lossweep: Any,  # noqa: F811
    listeners: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert lossweep("submit", sweep_file(tmp_path), "--metrics-port", "0", "--json-log")[0] == 1
    assert [type(each) for each in listeners] == [EventLog, PrometheusListener]
    listeners.clear()
    monkeypatch.setenv("LOSSWEEP_METRICS_PORT", "127.0.0.1:0")
    assert lossweep("submit", sweep_file(tmp_path))[0] == 1
    assert [type(each) for each in listeners] == [PrometheusListener]


def test_a_wrong_port_and_a_missing_extra_are_said_before_anything_runs(
    lossweep: Any,  # noqa: F811
    listeners: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, said = lossweep("submit", sweep_file(tmp_path), "--metrics-port", "http")
    assert (code, "not a port" in said, listeners) == (2, True, [])
    for name in [name for name in sys.modules if name.startswith("lossweep.dashboards.prometheus")]:
        monkeypatch.delitem(sys.modules, name)
    importing = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    code, said = lossweep("submit", sweep_file(tmp_path), "--metrics-port", "0")
    assert (code, "pip install 'lossweep[prometheus]'" in said, listeners) == (2, True, [])


def test_the_log_is_json_and_hides_passwords(tmp_path: Path) -> None:
    """In a process of its own: pytest has the root logger already."""
    script = """
import logging, sys
from pathlib import Path
import lossweep.sweeping
from lossweep.commands.driving import drive
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace

def run(*_, **__):
    logging.getLogger("x").warning("no answer from postgresql://user:hidden-word@host/db")
    raise KeyboardInterrupt

lossweep.sweeping.run_recorded = run
spec = SweepSpec.load(Path(sys.argv[1]), {})
try:
    drive(spec, Workspace.at(), resume=False, json_log=True)
except BaseException:
    pass
"""
    environment = {
        "LOSSWEEP_HOME": str(tmp_path),
        "LOSSWEEP_DATABASE": "postgresql://user:hidden-word@host/db",
    }
    subprocess.run(
        [sys.executable, "-c", script, sweep_file(tmp_path)],
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        check=True,
    )
    (line,) = (tmp_path / "logs" / "mine" / "driver.log").read_text().splitlines()
    said = json.loads(line)
    assert (said["sweep"], said["level"], said["logger"]) == ("mine", "warning", "x")
    assert said["message"] == "no answer from postgresql://***@host/db"
    assert "hidden-word" not in line
