"""What submit, resume and confirm share: run the driver with its listeners, and say what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import typer

from lossweep.commands.reading import home_words
from lossweep.dashboards.structured_log import EventLog, JsonLines
from lossweep.search.addresses import without_secrets
from lossweep.search.conducting.settings import ExtendSettings
from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.running.stopping import EXIT_CODE
from lossweep.search.service.address import HERE
from lossweep.search.study.events import Listener
from lossweep.search.study.faults import ClusterLost, SweepFailed
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import Problem, UserError


def drive(
    spec: SweepSpec,
    workspace: Workspace,
    resume: bool,
    system_metrics: bool = False,
    confirm: ConfirmSpec | None = None,
    extend: ExtendSettings | None = None,
    retry_failed: bool = False,
    cluster: str | None = None,
    metrics_port: str | None = None,
    json_log: bool = False,
) -> None:
    """Run a sweep to its end, or until it is stopped, and print its leaderboard.

    Args:
        spec: what to run.
        workspace: where.
        resume: go on with the sweep of this name.
        system_metrics: also record this machine's CPU, GPU and memory use in MLflow.
        confirm: confirm the leaders that the sweep has now, and search no further.
        extend: give a trial more epochs, and search no further.
        retry_failed: also try again what failed before.
        cluster: the Ray cluster whose workers train, ``auto`` for the one that this machine is part of;
            None or ``local`` for a private one.
        metrics_port: where figures for Prometheus are served; None for nowhere.
        json_log: write the log as JSON lines.

    Raises:
        UserError: for what is wrong with the sweep file or its data, or with the cluster.
        SweepFailed: when the first trials all failed alike, with how to go on once the cause is mended.
        ClusterLost: when Ray clusters were lost again and again, with how to go on.
        typer.Exit: with code 130 when the sweep was interrupted, by whichever signal and whenever.
    """
    from lossweep.dashboards.mlflow.system_metrics import check_recorder
    from lossweep.sweeping import run_recorded

    if system_metrics:
        check_recorder(gpu=bool(spec.resources.gpus_per_trial))
    cluster = None if cluster == HERE else cluster
    if cluster is not None:
        from lossweep.search.running.tune.reaching import check_cluster

        check_cluster(cluster, spec.resources)
    logs = workspace.logs(spec.name)
    logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(logs / "driver.log", encoding="utf-8", errors="backslashreplace")
    plain = logging.Formatter("%(asctime)s %(name)s %(message)s")
    handler.setFormatter(_WithoutSecrets(JsonLines(spec.name) if json_log else plain))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    try:
        history = run_recorded(
            spec,
            workspace,
            resume=resume,
            system_metrics=system_metrics,
            confirm=confirm,
            extend=extend,
            retry_failed=retry_failed,
            cluster=cluster,
            listeners=tuple(_listeners(metrics_port, json_log)),
        )
    except SweepFailed as error:
        again = f"lossweep resume {spec.name}{home_words(workspace)} --retry-failed"
        raise SweepFailed(f"{error.message}\nOnce that is mended: {again}", error.traceback) from None
    except ClusterLost as error:
        again = f"lossweep resume {spec.name}{home_words(workspace)}"
        raise ClusterLost(f"{error}\nNothing recorded is lost; go on with: {again}") from None
    except KeyboardInterrupt:
        typer.echo(f"Interrupted before sweep {spec.name} began: nothing was changed.", err=True)
        raise typer.Exit(EXIT_CODE) from None
    conclude(history, workspace)
    confirmed = history.confirmation is not None and history.confirmation.complete
    unfinished = any(not trial.outcome.is_final for trial in history.extensions)
    if (confirm is not None and confirmed) or (extend is not None and not unfinished):
        return  # the search itself may well be unfinished, as it was before
    if history.state is SweepState.INTERRUPTED or confirm is not None or extend is not None:
        raise typer.Exit(EXIT_CODE)


def _listeners(metrics_port: str | None, json_log: bool) -> Iterator[Listener]:
    """Who is told of the sweep besides MLflow and the terminal, as was asked for."""
    if json_log:
        yield EventLog()
    if metrics_port:
        try:
            from lossweep.dashboards.prometheus.listener import MetricsAddress, PrometheusListener
        except ModuleNotFoundError as error:
            hint = "pip install 'lossweep[prometheus]'"
            raise UserError(
                Problem("not installed", key="--metrics-port", found=error.name, hint=hint)
            ) from None
        yield PrometheusListener(MetricsAddress.parse(metrics_port))


class _WithoutSecrets(logging.Formatter):
    """Tracebacks of libraries, too, without the passwords of the addresses that they quote."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(self._inner.format(record), *Workspace.given_addresses())


def conclude(history: SweepHistory, workspace: Workspace) -> None:
    """Print the leaderboard and what to do next."""
    from lossweep.dashboards.terminal.confirmation import confirmation_table
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.next_steps import print_next_steps
    from lossweep.dashboards.terminal.tables import extended_trials, leaderboard, pareto_front, pruner_audit

    console = TerminalConsole()
    console.print()
    beyond = extended_trials(history, home_words(workspace))
    told = (confirmation_table(history), beyond, pareto_front(history), pruner_audit(history))
    for part in (leaderboard(history), *(part for parts in told for part in parts)):
        console.print(part)
    name, where = history.name, home_words(workspace)
    if history.state is not SweepState.FINISHED:
        steps = {
            f"lossweep resume {name}{where}": "go on where it stopped",
            f"lossweep status {name}{where}": "see how it stands",
        }
    elif history.winner() is None:
        steps = {f"lossweep why {name} 0{where}": "see how its first trial ended"}
    else:
        unconfirmed = {f"lossweep confirm {name}{where}": "train the leaders again with fresh seeds"}
        steps = (unconfirmed if history.confirmation is None else {}) | {
            f"lossweep dashboard {name}{where}": "see every trial in charts",
            f"lossweep export {name} -o best.yaml{where}": "write the best schedule",
            f"lossweep train best.yaml{where}": "train a model with it",
        }
    if history.failed_for_good:
        steps[f"lossweep resume {name}{where} --retry-failed"] = "try what failed again, once mended"
    console.print()
    print_next_steps(steps, console)
