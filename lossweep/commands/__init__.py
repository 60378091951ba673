"""The commands, a file each. A command's heavy imports stand inside it, so that ``--help`` starts at once."""

from __future__ import annotations

import inspect

import typer

from lossweep.commands import (
    check,
    compare,
    confirm,
    dashboard,
    doctor,
    evaluate,
    export,
    extend,
    gc,
    init,
    list_sweeps,
    logs,
    losses,
    predict,
    publish,
    replay,
    report,
    resume,
    schema,
    space,
    status,
    stop,
    submit,
    suite,
    sync,
    train,
    why,
)
from lossweep.commands.service import answered, driven, shown

app = typer.Typer(
    name="lossweep",
    help="Search for the best loss schedule of a segmentation model: submit, watch, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS = {
    "Run a sweep": (
        init.init,
        check.check,
        driven(submit.submit),
        driven(resume.resume),
        answered(stop.stop),
        driven(confirm.confirm),
        driven(extend.extend),
        suite.suite,
    ),
    "See what it found": (
        answered(list_sweeps.list_sweeps),
        answered(status.status),
        logs.logs,
        answered(why.why),
        shown(dashboard.dashboard),
        answered(report.report),
        answered(compare.compare),
    ),
    "Use what it found": (
        answered(export.export),
        answered(publish.publish),
        train.train,
        evaluate.evaluate,
        predict.predict,
        replay.replay,
    ),
    "Look things up": (losses.losses, space.space, schema.schema),
    "Keep house": (answered(doctor.doctor), answered(sync.sync), answered(gc.gc)),
}


def _flowing(text: str) -> str:
    """A docstring whose lines end where the terminal's do; Typer keeps them but in the first paragraph."""
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n"))


for _panel, _commands in _PANELS.items():
    for _command in _commands:
        _name = "list" if _command.__name__ == "list_sweeps" else _command.__name__
        app.command(_name, help=_flowing(_command.__doc__ or ""), rich_help_panel=_panel)(_command)
