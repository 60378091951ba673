"""A model as a folder: weights that SMP loads, its card, its schedule; and, if asked for, ONNX."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from lossweep.search.exporting.card import folder_card
from lossweep.search.exporting.operating import TrainedWeights
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.schedules.schedule_file import ScheduleFile

if TYPE_CHECKING:
    from lossweep.trainers.inference.segmenter import Segmenter

WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"
PROGRAM: Final = "program.pt2"
ONNX: Final = "model.onnx"

_MEANINGS: Final = {
    "README.md": "this card",
    WEIGHTS: "the weights, and in their metadata all that predicting takes; `lossweep predict` reads it",
    CONFIG: "how segmentation-models-pytorch builds the model",
    PROGRAM: "the model as `torch.export` wrote it, which needs none of the code that built it",
    ONNX: "the model for ONNX Runtime, which normalizes and pads by itself; metadata as with the weights",
    "schedule.yaml": "what it was trained by; `lossweep train` follows it",
}


def check_folder(folder: Path) -> None:
    """Make sure that a model can be written into a folder, and that nothing else is written over there.

    Raises:
        UserError: it is a file, holds something else, or may not be written.
    """
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if not above.is_dir():
        why = "is a file" if above == folder else f"{above} is a file"
    elif not os.access(above, os.W_OK | os.X_OK):
        why = "may not be written"
    elif foreign := names - _MEANINGS.keys():
        why = f"holds something else already, such as {min(foreign)}"
    elif names and WEIGHTS not in names:
        why = f"holds a {min(names)} that is of no model"
    else:
        return
    raise UserError(Problem(why, key="--to", found=str(folder), hint="name a new folder"))


def write_folder(
    folder: Path, segmenter: Segmenter, weights: TrainedWeights, exported: ScheduleFile, onnx: bool = False
) -> tuple[str, ...]:
    """Write a model, whole or not at all; a model that lies there already is replaced.

    ``smp.from_pretrained(folder)`` loads one of SMP's architectures, without a network. A model of one's own
    is written as a program of torch's, since its code is not in the folder.

    Args:
        folder: see `check_folder`.
        segmenter: the model with its threshold.
        weights: the same with the data they were trained on.
        exported: their schedule with its provenance.
        onnx: whether to write `ONNX`, too.

    Returns:
        The names of the files.

    Raises:
        UserError: the folder may not be written, or torch can't export the model.
    """
    check_folder(folder)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}-") as temporary:
        made = Path(temporary)
        _write(made, segmenter, exported, onnx)
        written = {"README.md", *(each.name for each in made.iterdir())}
        files = {name: meaning for name, meaning in _MEANINGS.items() if name in written}
        (made / "README.md").write_text(folder_card(files, weights, exported), encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for name in _MEANINGS.keys() - files.keys():
            (folder / name).unlink(missing_ok=True)
        for name in files:
            (made / name).replace(folder / name)
    return tuple(files)


def files_of(folder: Path) -> tuple[str, ...]:
    """Return the names of a model's files, in a fixed order."""
    return tuple(name for name in _MEANINGS if (folder / name).exists())


def _write(folder: Path, segmenter: Segmenter, exported: ScheduleFile, onnx: bool) -> None:
    from lossweep.trainers.inference.model_files import save_model
    from lossweep.trainers.inference.onnx_file import save_onnx
    from lossweep.trainers.inference.program import save_program
    from lossweep.trainers.models.building import is_own

    if is_own(segmenter.spec.model):
        save_program(segmenter, folder / PROGRAM)
    else:
        network: Any = segmenter.model
        network.save_pretrained(folder)
    save_model(segmenter, folder / WEIGHTS)  # over SMP's: the same tensors, with what predicting takes
    if onnx:
        save_onnx(segmenter, folder / ONNX)
    (folder / "schedule.yaml").write_text(exported.to_yaml(), encoding="utf-8")
