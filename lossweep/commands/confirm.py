"""``lossweep confirm``: train leaders and control again with fresh seeds, and say what holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import (
    CHAMPION,
    Alias,
    Anyway,
    JsonLog,
    MetricsPort,
    RegisteredName,
    SweepName,
    SystemMetrics,
    WorkspaceFolder,
)
from lossweep.commands.publish import publish as publish_winner
from lossweep.commands.registering import check_registration
from lossweep.commands.service import Cluster

if TYPE_CHECKING:
    from lossweep.search.control_spec import ConfirmSpec
    from lossweep.search.study.confirmation import Confirmation
    from lossweep.search.study.history import SweepHistory


def confirm(
    name: SweepName,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="How many leaders.", show_default="as last time, else 3"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=2, help="How many fresh seeds each, in all.", show_default="as last time, else 5"
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            min=0.0,
            help="The difference in the objective that nobody minds.",
            show_default="as last time, else 0.005",
        ),
    ] = None,
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Then register what the verdict stands behind; see lossweep publish."),
    ] = False,
    registered: RegisteredName = None,
    alias: Alias = CHAMPION,
    anyway: Anyway = False,
    workspace: WorkspaceFolder = None,
    system_metrics: SystemMetrics = False,
    metrics_port: MetricsPort = None,
    json_log: JsonLog = False,
    cluster: Cluster = None,
) -> None:
    """Train the leaders, what they are made of and the control again from scratch, with the same fresh seeds.

    The test split is read once a training, at the threshold from validation, and the verdict stands at the
    end: beats, ties, loses, or cannot tell yet. More --seeds add to those that were trained already.
    """
    from lossweep.commands.driving import drive
    from lossweep.commands.reading import existing, history_of, opened
    from lossweep.spaces.files.errors import Problem, UserError

    check_registration(publish, registered, alias, anyway, name)
    where = existing(workspace)
    spec, history = opened(name, where)
    if history.plan_confirmation(top=1, seeds=2, margin=0.0) is None:
        missing = "a completed loss schedule and a control to hold it against"
        raise UserError(Problem(f"sweep {name} has nothing to confirm yet", allowed=missing))
    given = {"top": top, "seeds": seeds, "margin": margin}
    asked = asked_for(given, history.confirmation, spec.confirm)
    if history.confirmation is not None:
        typer.echo(already_read(history.confirmation))
    drive(
        spec,
        where,
        resume=True,
        system_metrics=system_metrics,
        metrics_port=metrics_port,
        json_log=json_log,
        confirm=asked,
        cluster=cluster,
    )
    _say_verdict(history_of(name, where))
    if publish:
        publish_winner(name, registered=registered, alias=alias, anyway=anyway, workspace=workspace)


def asked_for(
    given: dict[str, int | float | None], last: Confirmation | None, of_file: ConfirmSpec | None
) -> ConfirmSpec:
    """Return what is to be confirmed: as given, else as the last time, else as the sweep file says.

    Args:
        given: options of the command line by the keys of ``confirm:``; None where not given.
        last: the confirmation before.
        of_file: what the sweep file asks for.
    """
    from lossweep.search.control_spec import ConfirmSpec

    before = of_file or ConfirmSpec()
    if last is not None:
        plan = last.plan
        before = ConfirmSpec(top=len(plan.leaders), seeds=plan.seeds, margin=plan.margin)
    return before.model_copy(update={key: value for key, value in given.items() if value is not None})


def already_read(confirmation: Confirmation) -> str:
    """Return how often the test split was read, and what that means."""
    reads = confirmation.reads
    return (
        f"The test split has been read {reads} time{'s' * (reads != 1)} already, once a confirmed training. "
        "What was trained is kept; a schedule that is chosen by what was seen there is no longer held out."
    )


def _say_verdict(history: SweepHistory) -> None:
    from lossweep.dashboards.result import metric_words
    from lossweep.search.verdicts.result import verdict_of
    from lossweep.search.verdicts.sentence import sentence

    verdict = verdict_of(history)
    typer.echo()
    if verdict is None:
        typer.echo("There is no verdict: not every leader and the control have two trainings with a score.")
    else:
        typer.echo(sentence(verdict, metric_words(verdict.held_out), history.name))
