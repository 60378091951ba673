"""Where and in what numbers a trial computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest
import torch
from torch import nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import Dice
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop import numerics as module
from lossweep.trainers.loop.numerics import Numerics, best_device
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.loop.training import train
from lossweep.trainers.losses import build_loss
from lossweep.trainers.metrics import Meter
from lossweep.trainers.plan import TrainingSpec, TrialPlan


def test_cuda_without_a_number_is_the_gpu_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    numerics = Numerics.of(TrainingSpec(precision="float32"), "cuda")
    assert numerics.device == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("precision", "dtype", "tf32", "named"),
    [
        ("float32", torch.float32, False, "cpu float32"),
        ("tf32", torch.float32, True, "cpu tf32"),
        ("bfloat16", torch.bfloat16, False, "cpu bfloat16"),
    ],
)
def test_float32_is_exact_unless_tf32_is_asked_for(
    precision: str, dtype: torch.dtype, tf32: bool, named: str
) -> None:
    numerics = Numerics.of(TrainingSpec.model_validate({"precision": precision}), "cpu")
    assert (numerics.dtype, numerics.tf32, str(numerics)) == (dtype, tf32, named)
    with numerics.autocast():
        product = nn.Linear(2, 2)(torch.ones(1, 2))
    assert product.dtype is (dtype if dtype is torch.bfloat16 else torch.float32)


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True)])
def test_a_trials_steps_and_evaluations_multiply_as_its_precision_says(
    scenes: SegmentationData,
    plan_of: Callable[..., TrialPlan],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    allowed: bool,
) -> None:
    """The settings are a GPU's; that there is none changes nothing about who sets them."""
    seen: dict[str, set[tuple[bool, bool]]] = defaultdict(set)

    def looked(work: Callable[..., object]) -> Callable[..., object]:
        def looking(*given: object, **named: object) -> object:
            tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
            seen[work.__qualname__].add(tf32)
            return work(*given, **named)

        return looking

    monkeypatch.setattr(Optimization, "step", looked(Optimization.step))
    monkeypatch.setattr(Meter, "update", looked(Meter.update))
    training = TrainingSpec.model_validate({"batch": 4, "precision": precision})
    list(train(plan_of("dice @1e-3 x1", 1, training=training), scenes))
    assert seen == {name: {(allowed, allowed)} for name in ("Optimization.step", "Meter.update")}


def test_a_trials_losses_are_placed_for_its_device(
    scenes: SegmentationData, plan_of: Callable[..., TrialPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU no other place shows that a loss was made fit for Apple's GPUs."""
    placed, used = list[nn.Module](), list[nn.Module]()
    place_loss, step = Numerics.place_loss, Optimization.step

    def noting(self: Numerics, loss: nn.Module) -> nn.Module:
        placed.append(place_loss(self, loss))
        return placed[-1]

    def stepping(
        self: Optimization, images: object, masks: object, criterion: nn.Module, *rest: object
    ) -> object:
        used.append(criterion)
        return step(self, images, masks, criterion, *rest)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(Numerics, "place_loss", noting)
    monkeypatch.setattr(Optimization, "step", stepping)
    list(train(plan_of("dice @1e-3 x1 -> jaccard @1e-3 x1", 2), scenes))
    assert used
    assert {id(each) for each in used} <= {id(each) for each in placed}


class WithoutFloat64(nn.Module):
    """Moves as to Apple's GPUs: float64 is refused."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def to(self, device: torch.device, **_: object) -> WithoutFloat64:  # type: ignore[override]  # what Numerics calls
        assert device.type == "mps"
        assert all(buffer.dtype is not torch.float64 for buffer in self.buffers())
        return self


def test_losses_can_move_to_apples_gpus() -> None:
    loss = build_loss(Dice(), ClassPrior(names=("a", "b"), frequencies=(0.5, 0.5)))
    logits, target = torch.randn(2, 1, 8, 8), torch.ones(2, 8, 8, dtype=torch.uint8)
    exact = loss(logits, target)
    numerics = Numerics(torch.device("mps"), torch.float32)
    moved = numerics.place_loss(WithoutFloat64(loss))
    torch.testing.assert_close(moved.loss(logits, target), exact)


@pytest.mark.parametrize(
    ("nvidia", "apple", "trains", "hidden", "device"),
    [
        (True, True, True, "", "cuda"),
        (False, True, True, "", "mps"),
        (False, True, False, "", "cpu"),
        (False, True, True, "1", "cpu"),
        (False, False, True, "", "cpu"),
    ],
)
def test_the_best_device_is_the_first_gpu_that_trains(
    nvidia: bool, apple: bool, trains: bool, hidden: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: nvidia)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
    monkeypatch.setattr(module, "_trains_on", lambda device: trains)
    monkeypatch.setenv("LOSSWEEP_GPUS_HIDDEN", hidden)
    assert best_device().type == device


def test_a_device_is_tried_before_it_is_chosen(caplog: pytest.LogCaptureFixture) -> None:
    before = torch.get_rng_state()
    assert module._trains_on(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
    assert not module._trains_on(torch.device("mps"))  # of which this machine has none
    assert "Trains on the CPU: this machine's GPU (mps) does not" in caplog.text


def test_a_model_is_float32_on_a_gpu_without_float64() -> None:
    placed = WithoutFloat64(nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1)))
    placed.register_buffer("prior", torch.ones(1, dtype=torch.float64))
    placed.register_buffer("count", torch.ones(1, dtype=torch.int64))
    moved = Numerics(torch.device("mps"), torch.float32).place(placed)
    assert moved.get_buffer("prior").dtype == torch.float32
    assert moved.get_buffer("count").dtype == torch.int64


@pytest.mark.parametrize(("device", "counts"), [("mps", "cpu"), ("cpu", "cpu"), ("cuda:0", "cuda:0")])
def test_integers_are_counted_where_a_device_can(device: str, counts: str) -> None:
    assert Numerics(torch.device(device), None).counting_device == torch.device(counts)


def test_a_model_lies_channels_last_as_torch_lays_it_also_beside_weights_of_five_axes() -> None:
    def flat() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.Linear(2, 2))

    numerics = Numerics.of(TrainingSpec(precision="float32"), "cpu")
    torchs = flat().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch does not declare it
    assert [tensor.stride() for tensor in numerics.place(flat()).state_dict().values()] == [
        tensor.stride() for tensor in torchs.state_dict().values()
    ]
    deep = nn.ModuleList([nn.Conv3d(3, 4, 3), nn.Conv2d(3, 4, 3)])
    with pytest.raises(RuntimeError, match="required rank 4"):
        deep.to(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in deep.state_dict().items()}
    placed = numerics.place(deep).state_dict()
    assert all(torch.equal(placed[name], tensor) for name, tensor in before.items())
    assert placed["1.weight"].is_contiguous(memory_format=torch.channels_last)
    assert placed["0.weight"].is_contiguous()
