"""A sweep from Python: run it, and look at what it found, in a script or a notebook."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossweep.search.conducting.settings import ExtendSettings
from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.stopping import StopRequest
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.files.yaml_source import plain_source, validate
from lossweep.spaces.schedules.schedule_file import ScheduleFile

if TYPE_CHECKING:
    import pandas as pd

    from lossweep.search.study.events import Listener

_COLUMNS = (
    "number",
    "outcome",
    "reason",
    "control",
    "schedule",
    "score",
    "feasible",
    "epochs",
    "threshold",
    "started",
    "ended",
    "gpu_seconds",
)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as it stood when it was read: what was tried, and what came of it.

    Attributes:
        history: everything that is recorded of it.
        workspace: where its database, checkpoints and logs lie.
    """

    history: SweepHistory
    workspace: Workspace

    @classmethod
    def load(cls, name: str, home: Path | str | None = None) -> Sweep:
        """Read a sweep as it stands, also one that is running elsewhere.

        Args:
            name: of the sweep.
            home: folder of the sweeps; ``$LOSSWEEP_HOME``, else ``./runs``, when None.

        Raises:
            UserError: when there is no sweep of that name.
        """
        from lossweep.search.ledger import Ledger

        workspace = Workspace.at(home)
        if workspace.is_new:  # a folder that is only looked at must not appear because its name was misspelt
            raise UserError(Problem(f"there are no sweeps in {workspace.root}"))
        with closing(Ledger(workspace.database_url, read_only=True)) as ledger:
            return cls(ledger.history(name), workspace)

    @property
    def name(self) -> str:
        """Of the sweep."""
        return self.history.name

    @property
    def state(self) -> str:
        """``finished``, or why it is not: ``running``, ``interrupted``, ``stopped`` or ``failed``."""
        return self.history.state

    @property
    def best(self) -> TrialHistory | None:
        """The best completed trial, controls included; None before the first completed."""
        return self.history.winner()

    def trials_dataframe(self) -> pd.DataFrame:
        """Return a row a trial, indexed by its number, in that order.

        Columns are named as MLflow's: ``metrics.recall`` and its like are those of the evaluation that the
        score was taken from, ``params.…`` what was proposed. What a trial lacks is missing (NaN, NaT, None).
        """
        import pandas as pd

        rows = [_row(trial) for trial in self.history.trials]
        recorded = sorted({key for row in rows for key in row} - set(_COLUMNS))
        return pd.DataFrame(rows, columns=[*_COLUMNS, *recorded]).set_index("number")

    def report(self, path: Path | str | None = None) -> Path:
        """Write the report as one HTML file that needs no network.

        Args:
            path: where to; ``<name>.html`` in the working directory when None.

        Returns:
            Where it was written.
        """
        from lossweep.dashboards.report.sweep_report import SweepReport

        target = Path(path if path is not None else f"{self.name}.html")
        target.write_text(SweepReport(self.workspace)(self.history), encoding="utf-8")
        return target

    def export(self, path: Path | str | None = None, trial: int | None = None) -> ScheduleFile:
        """Return the best schedule with its threshold and where it comes from, for `ScheduledLoss`.

        Args:
            path: also write it there, as YAML.
            trial: another trial than the best.

        Raises:
            UserError: when the sweep has no such trial, or none that was scored.
        """
        from lossweep.search.upkeep.export import export_best

        exported = export_best(self.history, trial)
        if path is not None:
            Path(path).write_text(exported.to_yaml(), encoding="utf-8")
        return exported

    def __str__(self) -> str:
        head = f"sweep {self.name}, {self.state}: {self.history.progress} trials"
        if self.best is None or self.best.score is None:
            return f"{head}, none of them completed"
        label = f"trial {self.best.number}" + (f", control {self.best.control}" if self.best.control else "")
        lead = f"the best ({label}) with {self.history.metric} {self.best.score:.3f}"
        return f"{head}, {lead}: {self.best.schedule}"

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the sentence, and a row a trial."""
        import pandas as pd

        table = self.trials_dataframe()[["outcome", "control", "schedule", "score", "epochs", "threshold"]]
        with pd.option_context("display.max_colwidth", None):
            rows = table.to_html(na_rep="", float_format="{:.3f}".format, max_rows=20, border=0)
        return f"<p>{html.escape(str(self))}</p>\n{rows}"


def sweep(
    sweep_file: Path | str | SweepSpec,
    overrides: Mapping[str, Any] | None = None,
    *,
    home: Path | str | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    show: bool = True,
) -> Sweep:
    """Run the sweep of a file to its end and return what it found, as ``lossweep submit`` does.

    In a script or a notebook alike, and in any thread. In the main thread, Ctrl-C or a notebook's stop button
    once finishes the running evaluations and returns what there is; twice, it stops at once.

    Args:
        sweep_file: a sweep file, or a sweep that was read or made before.
        overrides: dotted keys and their values, put over the file's, such as ``{"budget.trials": 4}``.
        home: folder for database, checkpoints and logs; ``$LOSSWEEP_HOME``, else ``./runs``, when None.
        resume: go on with the sweep of this name when there is one; a finished one is returned as it stands.
        retry_failed: with ``resume``, also try again what failed; see `search.running.driver.run_sweep`.
        show: tell of progress on standard error, or below a notebook's cell.

    Raises:
        UserError: for what is wrong with the sweep file or its data, every mistake with its line; also when
            the sweep exists and ``resume`` does not say to go on with it.
        LeaseHeld: when another living driver has the sweep.
        SweepFailed: when the first trials all failed alike; it carries the first traceback.
    """
    spec = _spec(sweep_file, dict(overrides or {}))
    workspace = Workspace.at(home)
    state = None
    if resume and not workspace.is_new:
        state = existing_sweep(workspace, spec.name, spec, retry_failed=retry_failed)
    if state is not None:
        state.check()
        if state.finished:
            return Sweep.load(spec.name, workspace.root)
    history = run_recorded(spec, workspace, resume=state is not None, show=show, retry_failed=retry_failed)
    return Sweep(history, workspace)


def run_recorded(
    spec: SweepSpec,
    workspace: Workspace,
    *,
    resume: bool,
    system_metrics: bool = False,
    show: bool = True,
    confirm: ConfirmSpec | None = None,
    extend: ExtendSettings | None = None,
    retry_failed: bool = False,
    cluster: str | None = None,
    listeners: tuple[Listener, ...] = (),
) -> SweepHistory:
    """Run a sweep with MLflow recording it and, if ``show``, its progress on standard error.

    ``listeners`` are told as well.

    The other arguments, and what is raised, are those of `search.running.driver.run_sweep`.
    """
    from lossweep.dashboards.mlflow.address import check_store
    from lossweep.dashboards.mlflow.tracking import MlflowListener
    from lossweep.dashboards.report.sweep_report import SweepReport
    from lossweep.search.running.driver import run_sweep
    from lossweep.search.upkeep.checkpoint_limit import CheckpointLimit

    check_store(workspace.mlflow_uri)
    workspace.logs(spec.name).mkdir(parents=True, exist_ok=True)
    stop = StopRequest(signals=True)
    gib = spec.resources.checkpoints_gib
    limit = () if gib is None else (CheckpointLimit(workspace, spec.name, gib),)
    with _progress(stop, show) as displays:
        tracking = MlflowListener(
            workspace.mlflow_uri,
            artifacts=workspace.artifacts,
            system_metrics=system_metrics,
            report=SweepReport(workspace),
            stopping=lambda: stop.reason,
        )
        history = run_sweep(
            spec,
            workspace,
            (tracking, *displays, *limit, *listeners),
            resume=resume,
            stop=stop,
            confirm=confirm,
            extend=extend,
            retry_failed=retry_failed,
            cluster=cluster,
        )
    _note_run(workspace, spec.name, tracking.run)
    return history


@contextmanager
def _progress(stop: StopRequest, show: bool) -> Iterator[tuple[Listener, ...]]:
    if not show:
        yield ()
        return
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.encoding import tolerate
    from lossweep.dashboards.terminal.progress import ProgressDisplay

    # A file of its own, which may tolerate what its encoding lacks: standard error is the caller's.
    with (
        os.fdopen(os.dup(2), "w", encoding=getattr(sys.stderr, "encoding", None)) as terminal,
        ProgressDisplay(TerminalConsole(file=terminal), stopping=lambda: stop.reason) as display,
    ):
        tolerate(terminal)
        yield (display,)


def _note_run(workspace: Workspace, name: str, run: str | None) -> None:
    """Write into the ledger which run of MLflow shows a sweep."""
    from lossweep.search.ledger import Ledger

    if run is None:
        return
    with closing(Ledger(workspace.database_url)) as ledger:
        ledger.set_mlflow_run(name, run)


def _spec(given: Path | str | SweepSpec, overrides: dict[str, Any]) -> SweepSpec:
    if not isinstance(given, SweepSpec):
        return SweepSpec.load(given, overrides)
    if not overrides:
        return given
    return validate(SweepSpec, plain_source(given.model_dump(mode="json"), given.name).overridden(overrides))


def _row(trial: TrialHistory) -> dict[str, Any]:
    scored = trial.scored
    row = {
        "number": trial.number,
        "outcome": trial.outcome.value,
        "reason": trial.reason,
        "control": trial.control,
        "schedule": str(trial.schedule),
        "score": trial.score,
        "feasible": trial.feasible,
        "epochs": trial.evaluations[-1].epoch if trial.evaluations else 0.0,
        "threshold": scored.threshold if scored else None,
        "started": trial.started,
        "ended": trial.ended,
        "gpu_seconds": trial.gpu_seconds,
    }
    measured = {f"metrics.{name}": value for name, value in scored.metrics.items()} if scored else {}
    return {**row, **measured, **{f"params.{name}": value for name, value in trial.parameters.items()}}
