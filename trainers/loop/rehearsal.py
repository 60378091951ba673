"""Every kind of forward pass that a sweep will ask of its model, rehearsed before the first worker starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.whole_images import STRIDE, padded_size
from lossweep.trainers.data.spec import SplitName
from lossweep.trainers.determinism import isolated
from lossweep.trainers.loop.passes import PassSize
from lossweep.trainers.models.building import build_model, create, is_own, one_line, raw_model
from lossweep.trainers.models.head import returns_probabilities
from lossweep.trainers.plan import ModelSpec, TrainingSpec

_MOST_TILE: Final = 1024
"""Up to which a tile that would do is looked for."""

_MOST_SHAPES: Final = 64
"""Of a split's passes, up to which each is rehearsed; of more, as many as show each height and each width.
With arithmetic, only the smallest and the largest are."""

_ANY_SIZE: Final = {"dynamic_img_size": True, "strict_img_size": False}
"""timm's options by which an encoder that is built for one size of image takes others."""


class Shape(NamedTuple):
    """Of the images of one pass."""

    images: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal found that keeps no sweep from starting.

    Attributes:
        least_micro_batch: images a pass of the smallest micro-batch that training can come down to.
        suspicions: what a person should look at, one line each.
    """

    least_micro_batch: int = 1
    suspicions: tuple[str, ...] = ()


def rehearse_model(
    spec: ModelSpec,
    training: TrainingSpec,
    prior: ClassPrior,
    in_channels: int,
    tile: int,
    evaluated: Mapping[SplitName, Iterable[tuple[int, int]]] | None = None,
) -> Rehearsed:
    """Find what is wrong with a model before any worker starts.

    Names are looked up and pretrained weights are fetched (they are needed anyway). Then the model sees each
    shape of pass that training and evaluations will take: the batch, which every step of an epoch fills, the
    micro-batches of a retry that was short of memory, and every padded size of the images that are evaluated
    or of their windows. All that on torch's meta device: shapes without arithmetic, some hundredths of a
    second each.

    Args:
        spec: which model.
        training: batch and accumulation.
        prior: its classes.
        in_channels: bands of an image.
        tile: side of a training crop, in pixels.
        evaluated: (height, width) of the images of each split that is evaluated, by its name.

    Raises:
        UserError: as `build_model`, or a pass that fails or returns other than a logit for each class and
            pixel.
    """
    if spec.weights is not None:
        build_model(spec, prior, in_channels, seed=0)
        spec = spec.model_copy(update={"weights": None})
    stage = _Stage(spec, prior, in_channels)
    batch = training.batch
    if complaint := stage.complaint(Shape(batch, tile, tile), training=True):
        raise UserError(_training_problem(spec, stage, batch, tile, complaint))
    size = PassSize.of(batch, tile)
    problems = [
        problem
        for split, sizes in (evaluated or {}).items()
        for problem in _evaluation_problems(spec, stage, split, set(sizes), size)
    ]
    if problems:
        raise UserError(problems)
    suspicions = []
    if is_own(spec) and returns_probabilities(stage.real, in_channels, prior.channels, tile):
        suspicions.append(
            f"model: what {spec.architecture} returns stays within 0 and 1, as probabilities do: losses,"
            " metrics and thresholds are of logits, so leave its sigmoid or softmax out"
        )
    least = max(1, batch // 2)
    for count in training.fewer_a_pass:
        if complaint := stage.complaint(Shape(count, tile, tile), training=True):
            suspicions.append(
                f"model: a trial that is short of memory fails, and is not tried again with half the batch of"
                f" {batch}: {_named(spec)} can't be trained on {_crops(count, tile)} ({complaint})"
            )
            least = batch
            break
    return Rehearsed(least, tuple(suspicions))


class _Stage:
    """A model to see what it makes of images of any shape, on the meta device where it can be there.

    Some models do what that device cannot, such as reading a value back: then the arithmetic is done, and
    what fails there is the model's own fault.
    """

    def __init__(self, spec: ModelSpec, prior: ClassPrior, in_channels: int) -> None:
        self._spec, self.prior, self.in_channels = spec, prior, in_channels
        self._real: nn.Module | None = None
        self.without_arithmetic = True
        try:
            with isolated(0, "rehearsal"), torch.device("meta"):
                self._model = create(spec, in_channels, prior.channels)
        except UserError:
            self._model = self.real  # raises what is the user's mistake
            self.without_arithmetic = False

    @property
    def real(self) -> nn.Module:
        """The model on the CPU, as its factory builds it."""
        if self._real is None:
            self._real = raw_model(self._spec, self.prior, self.in_channels, seed=0)
        return self._real

    def takes(self, shape: Shape, training: bool = False) -> bool:
        """Whether a pass over images of this shape goes well on the meta device."""
        try:
            return not self._passed(self._model, shape, training, "meta")
        except Exception:  # the model's fault, or the meta device's
            return False

    def complaint(self, shape: Shape, training: bool = False) -> str:
        """What is wrong with a pass over images of this shape; nothing when nothing is."""
        if self.without_arithmetic:
            try:
                return self._passed(self._model, shape, training, "meta")
            except Exception:  # the model's fault, or the meta device's: arithmetic tells
                pass
        # More than two are two to whatever normalizes over them.
        few = shape._replace(images=min(shape.images, 2))
        try:
            found = self._passed(self.real, few, training, "cpu")
        except Exception as error:  # a user's code may raise anything
            return one_line(error)
        self.without_arithmetic = False
        return found

    def _passed(self, model: nn.Module, shape: Shape, training: bool, device: str) -> str:
        """Pass images through a model; return what is wrong with its output."""
        model.train(training)
        given = (shape.images, self.in_channels, shape.height, shape.width)
        where = torch.device(device) if device == "meta" else nullcontext()
        with isolated(0, "rehearsal"), torch.set_grad_enabled(training), where:
            output = model(torch.zeros(given))
        expected = (shape.images, self.prior.channels, shape.height, shape.width)
        if not isinstance(output, Tensor):
            return f"it returned {type(output).__name__} instead of a tensor of logits"
        if tuple(output.shape) == expected:
            return ""
        return (
            f"it returned {tuple(output.shape)} for images of shape {given} instead of {expected}: one logit"
            " for two classes, else one a class, as large as the image"
        )


def _training_problem(spec: ModelSpec, stage: _Stage, count: int, tile: int, complaint: str) -> Problem:
    message = f"can't be trained on {_crops(count, tile)}: {complaint}"
    found = _named(spec)
    if count == 1 and stage.takes(Shape(2, tile, tile), training=True):
        hint = "it normalizes over the images of a pass: give it a batch of 2 or more"
        return Problem(message, key="training.batch", found=found, hint=hint)
    for side in sorted(range(STRIDE, _MOST_TILE + 1, STRIDE), key=lambda side: (abs(side - tile), -side)):
        if stage.takes(Shape(count, side, side), training=True):
            return Problem(message, key="data.tile", found=found, hint=f"a tile of {side} would do")
    return Problem(message, key="model", found=found)


def _evaluation_problems(
    spec: ModelSpec, stage: _Stage, split: str, sizes: set[tuple[int, int]], size: PassSize
) -> Iterator[Problem]:
    shown_as = {Shape(*shape): of for of in sorted(sizes, reverse=True) for shape in size.shapes([of])}
    shapes = sorted(shown_as, key=lambda shape: (shape.height * shape.width, shape))
    if not stage.without_arithmetic:
        shapes = shapes[:1] + shapes[1:][-1:]
    elif len(shapes) > _MOST_SHAPES:
        shapes = list(_each_height_and_width(shapes))
    complaint, failing = "", list[Shape]()
    for shape in shapes:
        if not failing or not stage.without_arithmetic:
            found = stage.complaint(shape)
            complaint = complaint or found
            failing += [shape] if found else []
        elif not stage.takes(shape):  # what the first one's arithmetic has confirmed
            failing.append(shape)
    if not failing:
        return
    shape = failing[0]
    of = shown_as[shape]
    whole = padded_size(*of)
    how = f", padded to {_extent(whole)}" if whole != of else ""
    how += f", in windows of {_extent(shape[1:])}" if whole != shape[1:] else ""
    others = len({shown_as[each] for each in failing}) - 1
    likewise = f"; and {others} other sizes likewise" if others else ""
    yield Problem(
        f"can't be evaluated on the images of {split} of {_extent(of)} pixels{how}: {complaint}{likewise}",
        key="model",
        found=_named(spec),
        hint=_any_size_hint(spec, stage, failing, size.tile),
    )


def _each_height_and_width(shapes: Sequence[Shape]) -> Iterator[Shape]:
    heights, widths = set[int](), set[int]()
    for shape in shapes:
        if shape.height not in heights or shape.width not in widths:
            yield shape
        heights.add(shape.height)
        widths.add(shape.width)


def _any_size_hint(spec: ModelSpec, stage: _Stage, shapes: list[Shape], tile: int) -> str:
    for option, value in _ANY_SIZE.items() if spec.encoder.startswith("tu-") and not is_own(spec) else ():
        changed = spec.model_copy(update={"options": {**spec.options, option: value}})
        try:
            other = _Stage(changed, stage.prior, stage.in_channels)
        except UserError:
            continue  # this encoder has no such option
        if all(other.takes(shape) for shape in shapes):
            return f"model.options.{option}: {str(value).lower()} lets this encoder take other sizes"
    return f"it takes images of {_extent((tile, tile))} pixels: cut them to that size"


def _named(spec: ModelSpec) -> str:
    return spec.architecture if is_own(spec) else f"{spec.architecture} with encoder {spec.encoder}"


def _crops(count: int, tile: int) -> str:
    return f"{count} crop{'s' if count > 1 else ''} of {_extent((tile, tile))} pixels in one pass"


def _extent(size: tuple[int, ...]) -> str:
    """Width x height, as people say it."""
    height, width = size
    return f"{width} x {height}"
