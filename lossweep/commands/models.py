"""The model that a command is told to use: a file, or a sweep's winner."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.trainers.inference.segmenter import Segmenter


class Precision(StrEnum):
    """In what numbers a model computes."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    AUTO = "auto"


ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A file of weights, or a sweep's name.", show_default=False)
]
TrialNumber = Annotated[
    int | None,
    typer.Option("--trial", help="Of the sweep, another trial than the winner.", show_default=False),
]
TrainedWith = Annotated[
    Path | None,
    typer.Option(
        "--sweep",
        metavar="SWEEP.yaml",
        help="Of a model file of an earlier lossweep: the sweep file that it was trained with.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="In what numbers to compute; auto is the fastest.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="Such as cpu or cuda:1.", show_default="the GPU, if any")
]


def loaded(
    model: str,
    *,
    trial: int | None,
    sweep_file: Path | None,
    precision: Precision,
    device: str | None,
    workspace: Path | None,
) -> Segmenter:
    """Load a model.

    Args:
        model: a file's path, or a sweep's name.
        trial: of the sweep, instead of its winner.
        sweep_file: what a file of an earlier lossweep was trained with.
        precision: of computing.
        device: where.
        workspace: of the sweeps.

    Raises:
        UserError: there is neither such a file nor such a sweep, or it can't be loaded.
    """
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.trainers.inference.model_files import SUFFIXES, load_model

    path = Path(model)
    if path.suffix in SUFFIXES or path.exists():
        if trial is not None:
            raise UserError(Problem("is of a sweep, not of a file", key="--trial", found=str(trial)))
        missing = _settings(sweep_file, workspace) if sweep_file is not None else None
        return load_model(path, missing=missing, precision=precision.value, device=device)
    return _of_sweep(model, trial, precision, device, workspace)


def _of_sweep(
    name: str, trial: int | None, precision: Precision, device: str | None, workspace: Path | None
) -> Segmenter:
    from lossweep.commands.reading import existing, history_of, home_words
    from lossweep.search.exporting.choice import choose
    from lossweep.search.upkeep.models import model_of

    where = existing(workspace)
    history = history_of(name, where)
    spec = stored(name, where.root)
    assert spec is not None  # its history was just read
    chosen = choose(history, number=trial, home=home_words(where))
    for line in chosen.said:
        typer.echo(line.replace("Exported is", "Used is"), err=True)
    return model_of(history, chosen, spec, where, precision=precision.value, device=device).segmenter


def stored(name: str, home: Path) -> SweepSpec | None:
    """Return the sweep file of a sweep that is in a home; None where it is not."""
    from contextlib import closing

    from lossweep.search.ledger import Ledger
    from lossweep.search.running.existing import stored_spec
    from lossweep.search.workspace import Workspace

    where = Workspace.at(home)
    if where.is_new:
        return None
    with closing(Ledger(where.database_url, read_only=True)) as ledger:
        record = ledger.find(name)
    return stored_spec(record) if record is not None else None


def _settings(sweep_file: Path, workspace: Path | None) -> dict[str, Any]:
    """What a model file of an earlier lossweep lacks, from its sweep file and its data."""
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.search.workspace import Workspace
    from lossweep.trainers.trial import SegmentationTrainer

    spec = SweepSpec.load(sweep_file)
    data = SegmentationTrainer(spec.data, Workspace.at(workspace).cache, None).data()
    return {
        "model": spec.model.model_dump(mode="json"),
        "normalization": data.val.normalization.model_dump(mode="json"),
        "tile": spec.data.tile,
        "training": spec.training.model_dump(mode="json"),
    }
