"""The report of a sweep in its workspace: with overlays from its checkpoints, and the file of the winner."""

from __future__ import annotations

import logging
import threading
from typing import Final

import yaml

from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.report.overlays import OverlayTile
from lossweep.dashboards.report.validation_tiles import validation_tiles
from lossweep.search.study.history import SweepHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.upkeep.export import export_best
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError

log = logging.getLogger(__name__)

LOOK: Final = 4.0
"""Seconds spent on looking for telling validation images: nobody waits longer for a report."""


class SweepReport:
    """Builds the reports of a workspace's sweeps; called with a history, as a listener and a server call it.

    What can't be made, because a checkpoint, the data or a plug-in is gone, is left out of the page and said
    in the log: figures that are recorded are never lost to a picture. Overlays are kept until contender
    or control change.
    """

    def __init__(self, workspace: Workspace, seconds: float = LOOK) -> None:
        """Prepare; nothing is read yet.

        Args:
            workspace: where data and checkpoints lie.
            seconds: see `dashboards.report.validation_tiles.validation_tiles`.
        """
        self._workspace, self._seconds = workspace, seconds
        self._made: tuple[object, tuple[OverlayTile, ...]] = (None, ())
        self._one_at_a_time = threading.Lock()

    def __call__(self, history: SweepHistory) -> str:
        """Return the page."""
        return build_report(history, self._overlays(history), export=_export(history))

    def _overlays(self, history: SweepHistory) -> tuple[OverlayTile, ...]:
        compared = (history.contender(), history.control())
        seen = (history.name, history.created, *((t.number, t.scored_step) if t else None for t in compared))
        with self._one_at_a_time:
            if self._made[0] != seen:
                self._made = (seen, self._look(history))
            return self._made[1]

    def _look(self, history: SweepHistory) -> tuple[OverlayTile, ...]:
        try:
            spec = SweepSpec.model_validate(yaml.safe_load(history.spec_yaml))
            return validation_tiles(history, spec, self._workspace, seconds=self._seconds)
        except Exception as error:
            ours = not isinstance(error, UserError)
            log.warning("no overlays of sweep %s: %s", history.name, error, exc_info=ours)
            return ()


def _export(history: SweepHistory) -> str | None:
    if history.winner() is None:
        return None
    try:
        return export_best(history).to_yaml()
    except Exception as error:
        log.warning("the report shows the plain schedule of sweep %s: %s", history.name, error)
        return None
