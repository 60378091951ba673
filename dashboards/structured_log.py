"""The driver's log as JSON, a line a message, with the sweep and the trial that it is about."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from lossweep.search.study.events import Event, SweepEnded, SweepStarted, TrialEnded, TrialStarted
from lossweep.search.study.history import TrialHistory

log = logging.getLogger(__name__)

_FIELD = "lossweep"
"""Where a record holds its further fields."""


class JsonLines(logging.Formatter):
    """Formats records as JSON objects: time, level, logger, sweep, message, and what a record adds.

    Args:
        sweep: the driver's.
    """

    def __init__(self, sweep: str) -> None:
        super().__init__()
        self._sweep = sweep

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "sweep": self._sweep,
            "message": record.getMessage(),
            **getattr(record, _FIELD, {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class EventLog:
    """A `search.study.events.Listener` that logs how trials begin and end."""

    def handle(self, event: Event) -> None:
        """Log it, unless it is one of the many in between."""
        match event:
            case SweepStarted(sweep):
                _say("sweep started", state=str(sweep.state), trials=len(sweep.recorded))
            case TrialStarted(trial):
                _say("trial resumed" if trial.evaluations else "trial started", **_of(trial))
            case TrialEnded(trial):
                ended = {"outcome": trial.outcome.value, "reason": trial.reason, "score": trial.score}
                _say("trial ended", **_of(trial), **ended)
            case SweepEnded(sweep):
                _say("sweep ended", state=str(sweep.state), note=sweep.note, **sweep.counts())

    def close(self) -> None:
        """Nothing is pending."""


def _of(trial: TrialHistory) -> dict[str, Any]:
    return {"trial": trial.number, "schedule": str(trial.schedule), "control": trial.control}


def _say(message: str, **fields: Any) -> None:
    log.info(message, extra={_FIELD: fields})
