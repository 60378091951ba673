"""CUDA graphs change nothing but the time. A stand-in captures on a CPU: it replays into fixed memory, as
graphs do, and what the model's Python decided when it was captured."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop import graphs
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.graphs import Timing
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.loop.prefix import context_key
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import ModelSpec, TrainingSpec, TrialPlan

Plans = Callable[..., TrialPlan]
LINE = "weighted_ce(power=0.5) @5e-3 x2 -> jaccard @1e-3 x1 fresh"
OWN = """
import random
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, classes, lucky=False, hooked=False):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.3)
        )
        self.last = nn.Conv2d(8, classes, 1)
        self.unused = nn.Linear(2, 2)
        self.lucky = lucky
        if hooked:
            self.body.register_forward_hook(lambda part, given, found: found)

    def forward(self, x):
        y = self.body(x)
        return self.last(2 * y if self.lucky and random.random() < 0.5 else y)

def model(in_channels, classes, **options):
    return Net(in_channels, classes, **options)
"""

OWN_MODEL = ModelSpec(architecture="mine:model")


class StandIn:
    """What `torch.cuda.make_graphed_callables` gives, on a CPU.

    Attributes:
        replays: passes that went through it.
    """

    def __init__(self) -> None:
        self.replays = 0

    def __call__(
        self, module: nn.Module, samples: tuple[Tensor], allow_unused_input: bool = False
    ) -> nn.Module:
        (given,) = samples
        parameters = tuple(module.parameters())
        forward, decided = module.forward, random.getstate()
        for _ in range(3):
            torch.autograd.grad(forward(given).sum(), parameters, allow_unused=allow_unused_input)
        logits = torch.empty_like(forward(given))
        slopes = [torch.empty_like(each) for each in parameters]
        stand_in = self

        class Graphed(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, images: Tensor, *_: Tensor) -> Tensor:
                stand_in.replays += 1
                given.copy_(images)
                before = random.getstate()
                random.setstate(decided)
                with torch.enable_grad():
                    ctx.found = forward(given)
                random.setstate(before)
                return logits.copy_(ctx.found.detach()).detach()

            @staticmethod
            def backward(ctx: Any, *slope: Tensor) -> Any:
                found = torch.autograd.grad(ctx.found, parameters, slope[0], allow_unused=True)
                kept = [
                    fixed.copy_(new) if new is not None else None
                    for fixed, new in zip(slopes, found, strict=True)
                ]
                return (None, *(each.detach() if each is not None else None for each in kept))

        module.forward = lambda images: Graphed.apply(images, *parameters)  # type: ignore[method-assign]
        return module


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    stand_in = StandIn()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", stand_in)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(graphs, "on_gpu", lambda numerics: True)
    monkeypatch.setattr(graphs, "_TIMED", {})
    return stand_in


def trained(
    plan: TrialPlan, data: SegmentationData, folder: Path, **training: Any
) -> tuple[list[Evaluation], dict[str, Tensor]]:
    """The evaluations without what a clock measured, and the weights."""
    store, plan = CheckpointStore(folder), replace(plan, training=TrainingSpec(batch=4, **training))
    found = [replace(each, seconds=0.0, images_per_second=0.0, spent={}) for each in train(plan, data, store)]
    model = trained_model(plan, data, store)
    assert model is not None
    return found, model.state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_trial_is_the_same_with_graphs_and_without(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, captures: StandIn
) -> None:
    plan = plan_of(LINE, 3)
    eager = trained(plan, scenes, tmp_path / "eager", graphs=False)
    assert captures.replays == 0
    graphed = trained(plan, scenes, tmp_path / "graphs", graphs=True)
    assert captures.replays > 9
    assert graphed[0] == eager[0]
    assert equal(graphed[1], eager[1])


def test_dropout_and_batch_statistics_go_on_as_without(
    scenes: SegmentationData,
    plan_of: Plans,
    tmp_path: Path,
    captures: StandIn,
    importable: Callable[[str, str], None],
) -> None:
    importable("own_graphed", OWN)
    plan = plan_of(LINE, 3, model=ModelSpec(architecture="own_graphed:model"))
    eager = trained(plan, scenes, tmp_path / "eager", graphs=False)
    graphed = trained(plan, scenes, tmp_path / "graphs", graphs=True)
    assert captures.replays > 9
    assert graphed[0] == eager[0]
    assert equal(graphed[1], eager[1])


def test_a_training_is_resumed_bit_for_bit(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path, captures: StandIn
) -> None:
    """Also by graphs what began without, and the other way round."""
    plan = plan_of(LINE, 3)
    whole = trained(plan, scenes, tmp_path / "whole", graphs=True)
    for index, (before, after) in enumerate([(True, True), (False, True), (True, False)]):
        store = CheckpointStore(tmp_path / str(index))
        course = train(replace(plan, training=TrainingSpec(batch=4, graphs=before)), scenes, store)
        next(course)
        course.close()
        again = trained(plan, scenes, tmp_path / str(index), graphs=after)
        assert again[0] == whole[0]
        assert equal(again[1], whole[1])


def test_no_checkpoint_says_whether_graphs_were_used(plan_of: Plans) -> None:
    plan = plan_of(LINE, 3)
    choices = [TrainingSpec(batch=4, graphs=graphs) for graphs in (True, False, "auto")]  # type: ignore[arg-type]
    keys = {context_key(replace(plan, training=each)) for each in choices}
    assert len(keys) == 1
    assert context_key(replace(plan, training=TrainingSpec(batch=4, threads=2))) not in keys


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lucky": True}, None, "they give other values than the model"),
        ({"hooked": True}, None, "the model has hooks"),
        ({}, RuntimeError("operation not permitted when stream is capturing"), "not permitted"),
        ({}, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out of memory"),
    ],
)
def test_what_cannot_be_captured_trains_without_and_says_so(
    scenes: SegmentationData,
    plan_of: Plans,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    captures: StandIn,
    importable: Callable[[str, str], None],
    options: dict[str, bool],
    error: Exception | None,
    words: str,
) -> None:
    importable("own_uncaptured", OWN)
    plan = plan_of(LINE, 3, model=ModelSpec(architecture="own_uncaptured:model", options=options))
    eager = trained(plan, scenes, tmp_path / "eager", graphs=False)
    if error is not None:

        def failing(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(torch.cuda, "make_graphed_callables", failing)
    tried = trained(plan, scenes, tmp_path / "tried", graphs=True)
    trained(replace(plan, seed=8), scenes, tmp_path / "another", graphs=True)
    (line,) = [record.message for record in caplog.records if "graphs" in record.message]  # once a process
    assert line.startswith("No CUDA graphs, passes are launched one operation at a time: ")
    assert words in line
    assert tried[0] == eager[0]
    assert equal(tried[1], eager[1])


def test_a_lost_gpu_is_no_mere_failure_to_capture(
    scenes: SegmentationData, plan_of: Plans, monkeypatch: pytest.MonkeyPatch, captures: StandIn
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", failing)
    with pytest.raises(torch.AcceleratorError):
        next(train(plan_of(LINE, 3), scenes))


@pytest.mark.parametrize(("eager", "graphed", "used"), [(4e-3, 1e-3, True), (4e-3, 5e-3, False)])
def test_auto_uses_graphs_where_they_are_faster(
    scenes: SegmentationData,
    plan_of: Plans,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    captures: StandIn,
    eager: float,
    graphed: float,
    used: bool,
) -> None:
    caplog.set_level(logging.INFO)
    measured = iter([eager, graphed])
    monkeypatch.setattr(graphs, "_seconds", lambda work: next(measured))
    course = train(plan_of(LINE, 3), scenes)
    next(course)
    assert (captures.replays > 4) is used
    (line,) = [record.message for record in caplog.records if "graphs" in record.message]
    assert f"{1e3 * graphed:.2f} ms a pass, single operations {1e3 * eager:.2f}" in line
    assert ("not used" in line) is not used


def test_what_one_trial_found_is_known_to_the_next(
    scenes: SegmentationData, plan_of: Plans, monkeypatch: pytest.MonkeyPatch, captures: StandIn
) -> None:
    measured = iter([2e-3, 5e-3])
    monkeypatch.setattr(graphs, "_seconds", lambda work: next(measured))
    list(train(plan_of(LINE, 3), scenes))
    before = captures.replays
    list(train(plan_of(LINE, 3, seed=8), scenes))  # measures and captures nothing
    assert captures.replays == before


@pytest.mark.parametrize(("passes", "pays"), [(100, False), (101, True), (10_000, True)])
def test_capturing_pays_once_what_it_took_is_saved(passes: int, pays: bool) -> None:
    assert Timing(eager=4.0, graphed=3.0, capture=100.0).pays(passes) is pays
    assert not Timing(eager=3.0, graphed=4.0, capture=1.0).pays(passes)


@pytest.mark.parametrize(
    ("device", "changes", "wanted"),
    [
        ("cuda", {}, True),
        ("cpu", {"training": TrainingSpec(graphs=True)}, False),
        ("mps", {"training": TrainingSpec(graphs=True)}, False),
        ("cuda", {"training": TrainingSpec(graphs=False)}, False),
        ("cuda", {"training": TrainingSpec(accumulate=2)}, False),
        ("cuda", {"micro_batch": 2}, False),
        ("cuda", {"model": ModelSpec(architecture="mine:model")}, False),
        (
            "cuda",
            {"model": ModelSpec(architecture="mine:model"), "training": TrainingSpec(graphs=True)},
            True,
        ),
    ],
)
def test_where_graphs_are_wanted(plan_of: Plans, device: str, changes: Any, wanted: bool) -> None:
    numerics = Numerics(torch.device(device, 0), torch.bfloat16)
    assert graphs.wanted(plan_of(LINE, 3, **changes), numerics) is wanted


def test_graphs_are_dropped_when_the_model_moves(
    scenes: SegmentationData, plan_of: Plans, caplog: pytest.LogCaptureFixture, captures: StandIn
) -> None:
    plan = plan_of(LINE, 3, training=TrainingSpec(batch=4, graphs=True))
    numerics = Numerics.of(plan.training, "cpu")
    model = numerics.place(build_model(plan.model, scenes.prior, 3, 0))
    optimization = Optimization(model, plan.training, numerics, 4)
    optimization.use_graphs(plan, 3, 100, _isolated)
    for moved in (False, True):
        if moved:
            first = next(model.parameters())
            first.data = first.data.clone()
        optimization.start_epoch()
        assert (optimization._graphed is None) is moved
    assert "were moved" in caplog.text


def _isolated(*path: int | str) -> Any:
    from lossweep.trainers.determinism import isolated

    return isolated(0, *path)
