"""What commands do when they are meant for a cluster: ship, ask and follow, and print what comes back."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from lossweep.search.service.address import Service
    from lossweep.search.service.jobs import Jobs
    from lossweep.search.service.messages import Answer, Request

_PANEL = "On a cluster"
_BEGINS_WITHIN_S = 45.0
"""A driver that reads large data for longer is no longer waited for."""

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="URL",
        help="A Ray cluster's job service, http://head:8265; or auto: drive from here, on the cluster that "
        "this machine is part of; or local.",
        show_default="a profile's, $RAY_API_SERVER_ADDRESS, $RAY_ADDRESS if they are http(s), else local",
        rich_help_panel=_PANEL,
    ),
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="A cluster named in ~/.config/lossweep/config.toml.",
        show_default="default in that file",
        rich_help_panel=_PANEL,
    ),
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Stay, and show the driver's lines.", rich_help_panel=_PANEL)
]
MaxRetries = Annotated[
    int,
    typer.Option(
        "--max-retries",
        min=0,
        help="How often a driver that was lost is started again.",
        rich_help_panel=_PANEL,
    ),
]
Code = Annotated[
    Path | None,
    typer.Option(
        "--code",
        metavar="DIR",
        help="The folder that is shipped, less what .gitignore and .lossweepignore name; 100 MiB at most.",
        show_default="submit: the working directory; else what was shipped last",
        rich_help_panel=_PANEL,
    ),
]

_EVERYWHERE = {"cluster": (Cluster, None), "profile": (ProfileName, None)}
_DRIVING = {"follow": (Follow, False), "max_retries": (MaxRetries, 3), "code": (Code, None)}
_OURS = {*_EVERYWHERE, *_DRIVING, "workspace", "watch"}


def answered(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that looks run in the cluster, as a short job, when it is meant for one."""
    return _served(command, _EVERYWHERE, _ask)


def driven(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that drives a sweep run in the cluster, as a job that stays, when it is meant for one."""
    return _served(command, _EVERYWHERE | _DRIVING, _drive)


def shown(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that serves pages serve here what the cluster has."""
    return _served(command, _EVERYWHERE, _show)


def _served(
    command: Callable[..., None],
    options: dict[str, tuple[Any, Any]],
    there: Callable[[Service, typer.Context], None],
) -> Callable[..., None]:
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    added = {name: option for name, option in options.items() if name not in signature.parameters}

    @functools.wraps(command)
    def served(context: typer.Context, **given: Any) -> None:
        from lossweep.search.service.address import find_service

        home = given.get("workspace") if _was_typed(context, "workspace") else None
        service = find_service(given["cluster"], given["profile"], str(home) if home else None)
        if service is not None:
            _warn(service)
            there(service, context)
            return
        command(**{name: value for name, value in given.items() if name not in added})

    kind = inspect.Parameter.KEYWORD_ONLY
    known = [each.replace(kind=kind, annotation=hints[each.name]) for each in signature.parameters.values()]
    new = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in added.items()
    ]
    asked = inspect.Parameter("context", kind, annotation=typer.Context)
    served.__signature__ = signature.replace(parameters=[asked, *known, *new])  # type: ignore[attr-defined]
    served.__annotations__ = (
        {"context": typer.Context} | hints | {name: annotation for name, (annotation, _) in added.items()}
    )
    return served


def _warn(service: Service) -> None:
    if not service.words:
        typer.echo(f"cluster: {service}", err=True)
    if service.is_exposed:
        what = "the token and " if service.headers else ""
        typer.echo(
            f"warning: {service} is not encrypted: {what}the code can be read on the way; "
            "use https:// or an SSH tunnel",
            err=True,
        )


# Commands that look


def _ask(service: Service, context: typer.Context) -> None:
    jobs = _jobs(service)
    sweep = context.params.get("name") or context.params.get("first")
    request = _request(service, _arguments(context))
    while context.params.get("watch"):
        answer = jobs.ask(request, sweep)
        typer.echo("\033[2J\033[H" if sys.stdout.isatty() else "", nl=False)
        _print(answer, context)
        if not re.match(rb"\S+ +running ", re.sub(rb"\x1b\[[\d;]*m", b"", answer.out)):
            return
        time.sleep(5.0)
    _print(jobs.ask(request, sweep), context)


def _show(service: Service, context: typer.Context) -> None:
    """Serve the report here, as the cluster builds it."""
    from lossweep.dashboards.serving.opening import serve_report
    from lossweep.spaces.files.errors import Problem, UserError

    jobs, given = _jobs(service), context.params
    name = given["name"]
    if name is None:
        raise UserError(Problem("name the sweep", hint=f"lossweep list{service.words} has their names"))
    if given["optuna"]:
        raise UserError(Problem("optuna-dashboard needs the database", key="--optuna", hint="start it there"))
    _print(jobs.ask(_request(service, ("dashboard", name, "--links"))), context)
    if given["links"]:
        return
    wanted = _request(service, ("report", name, "--output", "report.html"))
    build = lambda: jobs.ask(wanted, name).files["report.html"].decode("utf-8")  # noqa: E731
    serve_report(build, echo=typer.echo, browser=given["browser"], host=given["host"])


def _print(answer: Answer, context: typer.Context) -> None:
    """Print what the command printed there, write what it wrote, and end as it ended."""
    places = dict(_outputs(context))
    for name, content in answer.files.items():
        if name in places:
            place = places[name]
        else:  # a model card lies beside its weights
            beside = (
                path.parent for sent, path in places.items() if PurePath(sent).stem == PurePath(name).stem
            )
            place = next(beside, Path()) / PurePath(name).name
        place.write_bytes(content)
    typer.echo(answer.err, nl=False, err=True)
    typer.echo(answer.out, nl=False)
    if answer.code:
        raise typer.Exit(answer.code)


def _outputs(context: typer.Context) -> Iterator[tuple[str, Path]]:
    """The files that the command is to write: by which name there, and where here."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in ("output", "checkpoint") and value is not None:
            yield Path(value).name, Path(value)


# Commands that drive


def _drive(service: Service, context: typer.Context) -> None:
    from lossweep.search.service.package import package_of

    given, code = context.params, context.params["code"]
    if "sweep_file" in given:
        from lossweep.commands.shipping import ship

        code = code or Path()
        sweep, overrides = ship(given, code)
        arguments = _arguments(context, overrides)
    else:
        sweep, arguments = str(given["name"]), _arguments(context)
    package = package_of(code) if code is not None else None
    again = ("--yes",) if "sweep_file" in given else ()
    request = _request(service, (*arguments, "--cluster", "auto"), given["max_retries"], again)
    jobs = _jobs(service)
    job = jobs.drive(sweep, request, package)
    shipped = f" with {package} of code" if package is not None else ""
    typer.echo(f"submitted sweep {sweep} to {service}{shipped}; waiting for its driver to begin", err=True)
    if given["follow"]:
        follow(jobs, job, sweep, service)
        return
    begun = jobs.begun(job, sweep, _BEGINS_WITHIN_S)
    if (end := jobs.code_of_end(job)) is not None:
        typer.echo(jobs.log(job).strip())
        raise typer.Exit(end)
    typer.echo(f"sweep {sweep} {'is under way' if begun else 'still reads its data'} on {service}")
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.next_steps import print_next_steps

    steps = {
        f"lossweep logs {sweep} -f{service.words}": "follow it",
        f"lossweep status {sweep}{service.words}": "see how it stands",
        f"lossweep stop {sweep}{service.words}": "stop it; resume goes on",
    }
    print_next_steps(steps, TerminalConsole())


def follow(jobs: Jobs, job: str, sweep: str, service: Service) -> None:
    """Print a driver's lines until it ends, and end as it does; Ctrl-C only ends the looking."""
    from lossweep.spaces.files.errors import one_line

    try:
        for line in jobs.follow(job):
            typer.echo(one_line(line))
    except KeyboardInterrupt:
        typer.echo(f"sweep {sweep} goes on; to stop it: lossweep stop {sweep}{service.words}", err=True)
        raise
    if code := jobs.code_of_end(job):
        raise typer.Exit(code)


# Within


def _jobs(service: Service) -> Jobs:
    from lossweep.search.service.jobs import Jobs

    return Jobs(service)


def _request(
    service: Service,
    arguments: tuple[str, ...],
    retries: int = 0,
    again: tuple[str, ...] = (),
) -> Request:
    from lossweep.search.service.messages import CLIENT_WORDS, Request

    terminal = {"PYTHONIOENCODING": "utf-8", CLIENT_WORDS: service.words}
    if sys.stdout.isatty():
        import shutil

        terminal |= {"COLUMNS": str(shutil.get_terminal_size().columns), "FORCE_COLOR": "1"}
    elif "COLUMNS" in os.environ:
        terminal["COLUMNS"] = os.environ["COLUMNS"]
    return Request(arguments, home=service.home, environment=terminal, retries=retries, again=again)


def _arguments(context: typer.Context, instead: dict[str, Any] | None = None) -> tuple[str, ...]:
    """The command line again, as it is to be run in the cluster.

    Args:
        context: of the command here.
        instead: values in place of what was typed, by the parameter's name.
    """
    options, arguments = [str(context.info_name)], []
    places = {path: sent for sent, path in _outputs(context)}
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in _OURS or not _was_typed(context, name):
            continue
        value = (instead or {}).get(name, context.params[name])
        values = value if isinstance(value, (list, tuple)) else [value]
        words = [places.get(each) or str(each.value if isinstance(each, Enum) else each) for each in values]
        if parameter.param_type_name == "argument":
            arguments += words
        elif getattr(parameter, "is_flag", False):
            options += [parameter.opts[0]] * bool(value)
        else:
            options += [word for each in words for word in (parameter.opts[0], each)]
    return (*options, *arguments)


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
