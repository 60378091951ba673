"""``lossweep init``: a sweep file for a folder of images and masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossweep.commands.arguments import Output, WorkspaceFolder

if TYPE_CHECKING:
    from lossweep.trainers.data.checking.report import DataReport
    from lossweep.trainers.data.recognising.known import Value
    from lossweep.trainers.data.recognising.recognise import Asked, Recognised

_HOURS = 8.0
_USE_CASES = ("balanced", "counting", "needle", "no_false_alarms")


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where images and masks lie.", show_default=False)
    ] = Path(),
    output: Output = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the sweep; by default the folder's.", show_default=False)
    ] = None,
    use_case: Annotated[
        str | None,
        typer.Option("--use-case", metavar="|".join(_USE_CASES), help="What is good.", show_default=False),
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="That the sweep may take.", show_default=False)
    ] = None,
    gpu: Annotated[
        bool | None,
        typer.Option("--gpu/--no-gpu", help="Whether to train on this machine's GPUs.", show_default=False),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B", help="Names of the classes, background first."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="VALUE|R,G,B|none", help="What in masks means nothing. Repeatable."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", metavar="PATTERN", help="Which files are images: 'photos/{name}.*'."),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option("--masks", metavar="PATTERN", help="Which are their masks: 'labels/{name}_gt.*'."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; so it is where nobody can answer.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Write README's example, on images that are made on the fly.")
    ] = False,
    workspace: WorkspaceFolder = None,
) -> None:
    """Look at a folder of images and masks and write a sweep file for it that runs as it is.

    Every image and mask is decoded once, this machine trains for some seconds to see how fast it is, and what
    was assumed stands in the file as comments.
    """
    from lossweep.spaces.files.errors import Problem, UserError

    asking = _somebody_answers() and not yes
    if demo:
        from lossweep.search.starting.demo import demo_text

        file = output or Path("scenes.yaml")
        _check_free(file, force, asking)
        _write(file, demo_text())
        _say_next(file, "scenes")
        return
    if use_case is not None and use_case not in _USE_CASES:
        raise UserError(
            Problem("no such use case", key="--use-case", found=use_case, allowed=", ".join(_USE_CASES))
        )
    if hours is not None and not 0.0 < hours < float("inf"):
        raise UserError(Problem("must be more than 0", key="--hours", found=f"{hours:g}"))

    from lossweep.search.starting.wishes import Machine, Wishes, likely_use_case, name_from
    from lossweep.search.workspace import Workspace
    from lossweep.trainers.data.recognising.recognise import Asked

    called = name or name_from(folder.absolute().name)
    file = output or Path(f"{called}.yaml")
    _check_free(file, force, asking)
    named = tuple(filter(None, (each.strip() for each in (classes or "").split(","))))
    asked = Asked(images, masks, named, _ignored(ignore))
    cache = Workspace.at(workspace).cache
    found, data, report = _looked_at(folder, file, asked, cache)
    for line in _told(found, report):
        typer.echo(line)

    likely, why = likely_use_case(report)
    if use_case is None and asking:
        typer.echo(f"What is good? {', '.join(_USE_CASES)}. {why[0].upper()}{why[1:]}.")
        use_case = typer.prompt("Use case", default=likely, value_proc=_known)
    if hours is None:
        hours = typer.prompt("Hours", default=_HOURS, type=float) if asking else _HOURS

    from lossweep.search.starting.start import checked_text, propose

    machine = Machine.here(gpu)
    if gpu and not machine.gpus:
        raise UserError(Problem("this machine has no GPU that torch can use", key="--gpu"))
    typer.echo(f"Measuring how fast this machine trains ({machine}) ...")
    base = file.absolute().parent
    wishes = Wishes(called, use_case or likely, hours)  # type: ignore[arg-type]
    proposal = propose(wishes, machine, data, report, base, cache)
    text = checked_text(proposal, tuple(_told(found, report)), file, report)
    _write(file, text)
    budget = proposal.budget
    assert budget is not None
    minutes = 60.0 * budget.hours
    typer.echo(
        f"{file}: {budget.trials} trials of {budget.epochs} epochs, "
        f"{'with' if budget.top else 'without'} a confirmation, about {minutes:.0f} minutes."
    )
    _say_next(file, called)


def _somebody_answers() -> bool:
    return sys.stdin.isatty()


def _known(use_case: str) -> str:
    if use_case not in _USE_CASES:
        raise typer.BadParameter(f"one of {', '.join(_USE_CASES)}")
    return use_case


def _ignored(texts: list[str] | None) -> tuple[Value, ...] | None:
    """What ``--ignore`` says: grey values and colors; nothing for ``none``, None when it isn't given."""
    from lossweep.spaces.files.errors import Problem, UserError

    if not texts:
        return None
    ignored: list[Value] = []
    for text in texts:
        numbers = [] if text.strip().lower() == "none" else text.split(",")
        if not all(number.strip().isdigit() for number in numbers) or len(numbers) not in (0, 1, 3):
            allowed = "a grey value, red,green,blue, or none"
            raise UserError(Problem("not a value of masks", key="--ignore", found=text, allowed=allowed))
        values = [int(number) for number in numbers]
        if len(values) == 3:
            ignored.append((values[0], values[1], values[2]))
        ignored += values if len(values) == 1 else []
    return tuple(ignored)


def _looked_at(
    folder: Path, file: Path, asked: Asked, cache: Path
) -> tuple[Recognised, dict[str, object], DataReport]:
    """Recognise a folder and decode all of it: what it holds, ``data:`` of a sweep file, and the figures."""
    from lossweep.dashboards.terminal.bars import progress_bars
    from lossweep.search.starting.start import data_spec
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.trainers.data.checking.check import check_data
    from lossweep.trainers.data.loading import shortened
    from lossweep.trainers.data.recognising.recognise import recognise

    base, root = file.absolute().parent, folder.absolute()
    with progress_bars() as progress:
        found = recognise(root, asked, progress)
        within = root.is_relative_to(base)
        shown = root.relative_to(base).as_posix() if within else str(root)
        source, *_ = keys = {**found.data}
        data: dict[str, object] = {source: keys.pop(source), "root": shown, **keys}
        report = check_data(data_spec(data, base), cache, progress)
    if report.problems:
        unseen = any(each.key == "data.classes" for each in report.problems)
        more = [Problem("a class that training doesn't show", hint="leave it out: --ignore VALUE")] * unseen
        raise UserError([*shortened(report.problems), *more])
    return found, data, report


def _told(found: Recognised, report: DataReport) -> list[str]:
    """What was found, a sentence each."""
    counts = ", ".join(f"{split.images} {split.name}" for split in report.splits if split.images)
    shares = ", ".join(
        f"{name} {share:.2%}" for name, share in zip(report.classes, report.splits[0].fractions, strict=True)
    )
    bands = f"{report.bands} band{'s' if report.bands > 1 else ''} of {report.dtype}"
    return [
        f"Found: {found.kind}; {counts}; {bands}.",
        f"Classes by their share of the training pixels: {shares}.",
        *(f"Assumed: {remark}." for remark in found.remarks),
        *(f"Suspicious: {suspicion}." for suspicion in report.suspicions),
    ]


def _check_free(file: Path, force: bool, asking: bool) -> None:
    """Make sure that a file can be written, and may be."""
    from lossweep.commands.arguments import check_output
    from lossweep.spaces.files.errors import Problem, UserError

    check_output(file)
    if not file.exists() or force:
        return
    if not asking:
        hint = "write over it: --force; or elsewhere: -o OTHER.yaml"
        raise UserError(Problem("there is a file of this name", file=str(file), hint=hint))
    if not typer.confirm(f"{file} is there already. Write over it?"):
        raise typer.Exit(0)


def _write(file: Path, text: str) -> None:
    from lossweep.commands.arguments import write_output

    write_output(file, text)


def _say_next(file: Path, name: str) -> None:
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.next_steps import print_next_steps

    steps = {
        f"lossweep check {file}": "every image and mask, the model and the losses, looked at",
        f"lossweep submit {file}": "run the sweep; Ctrl-C keeps everything",
        f"lossweep dashboard {name}": "watch it in a browser",
    }
    print_next_steps(steps, TerminalConsole())
