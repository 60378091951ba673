"""The driver's log as JSON lines."""

from __future__ import annotations

import json
import logging

import histories
import pytest
from sweep_events import events

from lossweep.dashboards.structured_log import EventLog, JsonLines

SWEEP = histories.sweep(proposals=3, epochs=4)


def test_every_line_is_an_object_with_sweep_and_trial(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    listener = EventLog()
    for event in events(SWEEP):
        listener.handle(event)
    listener.close()
    lines = [json.loads(JsonLines(SWEEP.name).format(record)) for record in caplog.records]
    assert {line["sweep"] for line in lines} == {SWEEP.name}
    assert [line["message"] for line in lines][:2] == ["sweep started", "trial started"]
    ended = {line["trial"]: line for line in lines if line["message"] == "trial ended"}
    assert ended.keys() == {trial.number for trial in SWEEP.trials}
    for trial in SWEEP.trials:
        line = ended[trial.number]
        assert (line["outcome"], line["score"]) == (trial.outcome.value, trial.score)
        assert line["schedule"] == str(trial.schedule)
    assert lines[-1]["completed"] == SWEEP.counts()["completed"]


def test_tracebacks_and_line_breaks_stay_in_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "it\nfailed", (), (type(error), error, None)
        )
    text = JsonLines("s").format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["message"], line["level"]) == ("it\nfailed", "error")
    assert "ValueError: two" in line["traceback"]
