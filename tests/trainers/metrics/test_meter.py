from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.metric_names import CURVE, LOWER_IS_BETTER, PIXEL, is_metric
from lossweep.spaces.metrics import METRICS
from lossweep.trainers.determinism import isolated
from lossweep.trainers.metrics import Measured, Meter
from lossweep.trainers.metrics.logit_scale import LARGEST
from lossweep.trainers.metrics.objects import TrueObjects
from lossweep.trainers.plan import MeasureSpec

BINARY = ClassPrior(names=("ground", "car"), frequencies=(0.9, 0.1))
THREE = ClassPrior(names=("ground", "car", "ship"), frequencies=(0.8, 0.1, 0.1))
PLAIN = MeasureSpec()
NAMES = tuple(metric.name for metric in METRICS if not metric.of_sizes)
"""Of what a meter measures that was not told which objects are small; `test_sizes` has the others."""


def scenes(prior: ClassPrior, images: int = 5, size: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Blocky masks with ignored pixels, and logits that know something of them."""
    generator = torch.Generator().manual_seed(seed)
    classes = len(prior.names)
    blocks = torch.rand(images, size // 4, size // 4, generator=generator)
    masks = ((blocks - 0.6) * 2.5 * classes).clamp(0, classes - 1).long()
    masks = masks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    known = masks.clone()
    masks[torch.rand(masks.shape, generator=generator) < 0.05] = 255
    noise = torch.randn(images, classes, size, size, generator=generator)
    logits = 1.5 * noise + 2.0 * torch.nn.functional.one_hot(known, classes).permute(0, 3, 1, 2)
    return (logits[:, 1:] - 1.0 if prior.is_binary else logits), masks


def measure(
    prior: ClassPrior,
    logits: Tensor,
    masks: Tensor,
    spec: MeasureSpec = PLAIN,
    threshold: float | list[float] | None = None,
) -> Measured:
    meter = Meter(prior, spec, "cpu")
    meter.update(logits, masks)
    return meter.compute(threshold=threshold)


def pixel_ratios(called: np.ndarray, true: np.ndarray) -> dict[str, float]:
    tp, fp, fn = (called & true).sum(), (called & ~true).sum(), (~called & true).sum()
    return {
        "precision": tp / max(tp + fp, 1),
        "recall": tp / max(tp + fn, 1),
        "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "iou": tp / max(tp + fp + fn, 1),
    }


def close(metrics: Mapping[str, float], expected: Mapping[str, float]) -> None:
    assert {name: metrics[name] for name in expected} == pytest.approx(dict(expected), abs=1e-12)


class TestTwoClasses:
    logits, masks = scenes(BINARY)
    known = (masks != 255).numpy()
    true = (masks == 1).numpy()

    def test_pixels_at_probability_one_half(self) -> None:
        called = (self.logits[:, 0] >= 0).numpy()
        close(
            measure(BINARY, self.logits, self.masks).metrics,
            pixel_ratios(called[self.known], self.true[self.known]),
        )

    def test_pixels_at_the_tuned_threshold(self) -> None:
        measured = measure(BINARY, self.logits, self.masks)
        called = (self.logits[:, 0].half() >= measured.threshold).numpy()
        expected = pixel_ratios(called[self.known], self.true[self.known])
        close(measured.metrics, {f"tuned_{name}": value for name, value in expected.items()})
        assert measured.metrics["max_f1"] == measured.metrics["tuned_f1"] > measured.metrics["f1"]
        assert measured.thresholds == (measured.threshold,)

    def test_floor_metrics_hold_at_their_own_thresholds(self) -> None:
        spec = MeasureSpec(precision_floors=(0.2, 0.8), recall_floors=(0.9,))
        measured = measure(BINARY, self.logits, self.masks, spec)
        assert len(set(measured.floor_thresholds.values()) | {measured.threshold}) == 4
        for name, threshold in measured.floor_thresholds.items():
            called = (self.logits[:, 0].half() >= threshold).numpy()
            ratios = pixel_ratios(called[self.known], self.true[self.known])
            sought, _, rest = name.partition("_at_")
            kept, _, floor = rest.partition("_")
            assert ratios[sought] == pytest.approx(measured.metrics[name], abs=1e-12)
            assert ratios[kept] >= float(floor)
            fixed = measure(BINARY, self.logits, self.masks, spec, threshold=threshold)
            assert fixed.metrics[f"tuned_{sought}"] == measured.metrics[name]

    def test_a_floor_that_no_threshold_reaches_has_none(self) -> None:
        spec = MeasureSpec(precision_floors=(0.9,))
        measured = measure(BINARY, torch.zeros_like(self.logits), self.masks, spec)
        assert measured.metrics["recall_at_precision_0.9"] == 0.0
        assert measured.floor_thresholds == {}

    def test_average_precision_is_scikit_learns_but_for_the_bins(self) -> None:
        expected = average_precision_score(self.true[self.known], self.logits[:, 0].numpy()[self.known])
        assert measure(BINARY, self.logits, self.masks).metrics["ap"] == pytest.approx(expected, abs=5e-4)

    def test_objects_at_both_thresholds(self) -> None:
        measured = measure(BINARY, self.logits, self.masks)
        for prefix, threshold in (("", 0.0), ("tuned_", measured.threshold)):
            called = (self.logits[:, 0].half() >= threshold).numpy()
            parts = [
                TrueObjects.of(t, k, PLAIN).compare(c, PLAIN)
                for t, k, c in zip(self.true, self.known, called, strict=True)
            ]
            total = sum(parts[1:], start=parts[0])
            expected = {
                f"{prefix}object_precision": total.counts.precision,
                f"{prefix}object_recall": total.counts.recall,
                f"{prefix}object_f1": total.counts.f1,
                f"{prefix}count_error": total.count_error,
            }
            close(measured.metrics, expected)
        assert measured.metrics["object_recall"] > 0

    def test_given_thresholds_are_used_as_they_are(self) -> None:
        measured = measure(BINARY, self.logits, self.masks, threshold=0.7001)
        called = (self.logits[:, 0].half() >= 0.7001).numpy()
        expected = pixel_ratios(called[self.known], self.true[self.known])
        close(measured.metrics, {f"tuned_{name}": value for name, value in expected.items()})
        assert measured.threshold == 0.7001
        assert measured.metrics["max_f1"] > measured.metrics["tuned_f1"]  # still the best on this split

    def test_names_are_those_of_the_registry(self) -> None:
        spec = MeasureSpec(betas=(2.0, 0.5), precision_floors=(0.2,), recall_floors=(0.9,))
        names = set(measure(BINARY, self.logits, self.masks, spec).metrics)
        parametric = {"fbeta_2", "fbeta_0.5", "recall_at_precision_0.2", "precision_at_recall_0.9"}
        assert names == {*NAMES, *parametric}
        assert all(is_metric(name) for name in names)

    def test_the_mask_may_be_of_any_integer_type(self) -> None:
        expected = measure(BINARY, self.logits, self.masks)
        for dtype in (torch.uint8, torch.int16, torch.int32):
            assert measure(BINARY, self.logits, self.masks.to(dtype)) == expected


class TestSeveralClasses:
    logits, masks = scenes(THREE)
    known = (masks != 255).numpy()

    def test_pixels_at_the_argmax_class_by_class_and_macro(self) -> None:
        metrics = measure(THREE, self.logits, self.masks).metrics
        called = self.logits.argmax(1).numpy()[self.known]
        true = self.masks.numpy()[self.known]
        each = {name: pixel_ratios(called == c, true == c) for c, name in ((1, "car"), (2, "ship"))}
        for figure in PIXEL:
            close(metrics, {f"{figure}/{name}": ratios[figure] for name, ratios in each.items()})
            close(metrics, {figure: (each["car"][figure] + each["ship"][figure]) / 2})

    def test_curves_are_one_against_the_rest(self) -> None:
        measured = measure(THREE, self.logits, self.masks)
        probabilities = self.logits.double().softmax(1).numpy()
        for c, name in ((1, "car"), (2, "ship")):
            true = self.masks.numpy()[self.known] == c
            scores = probabilities[:, c][self.known]
            expected = average_precision_score(true, scores)
            assert measured.metrics[f"ap/{name}"] == pytest.approx(expected, abs=1e-4)
            called = scores >= 1 / (1 + math.exp(-measured.thresholds[c - 1]))
            f1 = pixel_ratios(called, true)["f1"]
            assert measured.metrics[f"tuned_f1/{name}"] == pytest.approx(f1, abs=5e-3)
            assert measured.metrics[f"max_f1/{name}"] == measured.metrics[f"tuned_f1/{name}"]
        assert measured.threshold == measured.thresholds[0]

    def test_every_name_has_a_figure_a_class(self) -> None:
        metrics = measure(THREE, self.logits, self.masks, MeasureSpec(betas=(2.0,))).metrics
        bases = {*NAMES, "fbeta_2"}
        assert set(metrics) == {f"{base}{suffix}" for base in bases for suffix in ("", "/car", "/ship")}
        for base in bases:
            assert metrics[base] == pytest.approx((metrics[f"{base}/car"] + metrics[f"{base}/ship"]) / 2)

    def test_floor_thresholds_are_of_each_class_alone(self) -> None:
        spec = MeasureSpec(precision_floors=(0.6,))
        measured = measure(THREE, self.logits, self.masks, spec)
        name = "recall_at_precision_0.6"
        assert set(measured.floor_thresholds) == {f"{name}/car", f"{name}/ship"}
        probabilities = self.logits.double().softmax(1).numpy()
        for c, each in ((1, "car"), (2, "ship")):
            scores = probabilities[:, c][self.known]
            called = scores >= 1 / (1 + math.exp(-measured.floor_thresholds[f"{name}/{each}"]))
            ratios = pixel_ratios(called, self.masks.numpy()[self.known] == c)
            assert ratios["recall"] == pytest.approx(measured.metrics[f"{name}/{each}"], abs=5e-3)

    def test_objects_are_of_the_argmax(self) -> None:
        metrics = measure(THREE, self.logits, self.masks).metrics
        called = self.logits.argmax(1).numpy()
        parts = [
            TrueObjects.of(truth == 2, truth != 255, PLAIN).compare(image == 2, PLAIN)
            for truth, image in zip(self.masks.numpy(), called, strict=True)
        ]
        total = sum(parts[1:], start=parts[0])
        close(metrics, {"object_f1/ship": total.counts.f1, "count_error/ship": total.count_error})

    def test_thresholds_are_one_a_class(self) -> None:
        with pytest.raises(ValueError, match="one logit for each of 2 foreground classes"):
            measure(THREE, self.logits, self.masks, threshold=0.3)
        assert measure(THREE, self.logits, self.masks, threshold=[0.5, -1.0]).thresholds == (0.5, -1.0)

    def test_two_softmax_channels_rank_like_their_difference(self) -> None:
        """The one-vs-rest curve of one of two classes is the binary curve, were the third never likely."""
        logits, masks = scenes(BINARY)
        third = torch.cat([torch.zeros_like(logits), logits, torch.full_like(logits, -1e4)], dim=1)
        one, other = measure(BINARY, logits, masks).metrics, measure(THREE, third, masks).metrics
        close(other, {f"{name}/car": one[name] for name in (*CURVE, *PIXEL, "object_f1", "tuned_object_f1")})


class TestAbsentClasses:
    def test_neither_true_nor_predicted_is_left_out_of_the_mean(self) -> None:
        logits, masks = scenes(THREE)
        masks[masks == 2] = 0
        logits[:, 2] = -50
        measured = measure(THREE, logits, masks)
        assert measured.absent == ("ship",)
        for name in NAMES:
            assert measured.metrics[name] == measured.metrics[f"{name}/car"]
            assert measured.metrics[f"{name}/ship"] == 0.0
        assert measured.thresholds[1] == LARGEST

    def test_predicted_but_not_true_counts_as_zero(self) -> None:
        logits, masks = scenes(THREE)
        masks[masks == 2] = 0
        metrics = measure(THREE, logits, masks).metrics
        assert metrics["f1"] == metrics["f1/car"] / 2
        assert metrics["ap"] == metrics["ap/car"]  # a curve needs positives
        assert metrics["max_f1"] == metrics["tuned_f1"] == metrics["tuned_f1/car"]

    def test_true_but_not_predicted_counts_as_zero(self) -> None:
        logits, masks = scenes(THREE)
        logits[:, 2] = -50
        metrics = measure(THREE, logits, masks).metrics
        assert metrics["recall/ship"] == 0.0
        assert metrics["recall"] == metrics["recall/car"] / 2

    @pytest.mark.parametrize("prior", [BINARY, THREE])
    def test_nothing_labelled_or_nothing_measured(self, prior: ClassPrior) -> None:
        logits, masks = scenes(prior)
        for measured in (
            measure(prior, logits, torch.full_like(masks, 255)),
            Meter(prior, PLAIN, "cpu").compute(),
        ):
            assert set(measured.metrics.values()) == {0.0}
            assert measured.absent == prior.names[1:]
            assert measured.positives == 0


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans())
def test_sums_over_the_split_however_it_is_batched(seed: int, sizes: list[int], binary: bool) -> None:
    prior = BINARY if binary else THREE
    logits, masks = scenes(prior, images=sum(sizes), size=16, seed=seed)
    meter = Meter(prior, MeasureSpec(betas=(2.0,), precision_floors=(0.3,), recall_floors=(0.5,)), "cpu")
    meter.update(logits, masks)
    at_once = meter.compute()
    meter.reset()
    for part, mask in zip(logits.split(sizes), masks.split(sizes), strict=True):
        meter.update(part, mask)
    assert meter.compute() == at_once
    assert meter.compute() == at_once  # and measuring changes nothing
    for name, value in at_once.metrics.items():
        assert math.isfinite(value)
        assert value >= 0.0
        assert value <= 1.0 or name.partition("/")[0] in LOWER_IS_BETTER


@pytest.mark.parametrize("prior", [BINARY, THREE])
def test_logits_that_are_not_finite_give_finite_metrics(prior: ClassPrior) -> None:
    logits, masks = scenes(prior)
    for bad in (math.nan, math.inf, -math.inf):
        broken = torch.full_like(logits, bad)
        assert all(math.isfinite(value) for value in measure(prior, broken, masks).metrics.values())
    assert (
        measure(BINARY, torch.full_like(scenes(BINARY)[0], math.nan), masks.clamp(max=1)).metrics["recall"]
        == 0.0
    )


def test_saturated_logits_keep_their_ranking() -> None:
    """A probability grid would put all of these at 1.00."""
    logits = torch.tensor([40.0, 41.0, 42.0, 43.0]).reshape(1, 1, 2, 2)
    masks = torch.tensor([0, 0, 1, 1]).reshape(1, 2, 2)
    measured = measure(BINARY, logits, masks)
    assert (measured.metrics["ap"], measured.metrics["max_f1"], measured.metrics["precision"]) == (
        1.0,
        1.0,
        0.5,
    )
    assert 41.0 < measured.threshold <= 42.0


@pytest.mark.parametrize("prior", [BINARY, THREE])
def test_counting_never_waits_for_the_device(prior: ClassPrior) -> None:
    """On the meta device every operation that needs a value on the host raises an error."""
    meter = Meter(prior, PLAIN, "meta", objects=False)
    logits, masks = scenes(prior)
    meter.update(logits.to("meta"), masks.to("meta"))
    with pytest.raises(NotImplementedError):
        meter.compute()


def test_objects_can_be_left_out() -> None:
    logits, masks = scenes(BINARY)
    meter = Meter(BINARY, PLAIN, "cpu")
    meter.update(logits, masks)
    without = meter.compute(objects=False)
    whole = meter.compute()
    assert not any("object" in name or "count" in name for name in without.metrics)
    assert without.metrics.items() < whole.metrics.items()
    assert without.degenerate == whole.degenerate == 0


def test_of_several_classes_the_first_ones_threshold_stands_for_all() -> None:
    logits, masks = scenes(THREE)
    measured = measure(THREE, logits, masks)
    assert len(set(measured.thresholds)) == 2, "else any would do"
    assert measured.threshold == measured.thresholds[0]


def test_a_shattered_image_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossweep.trainers.metrics.objects.MAXIMUM_OBJECTS", 10)
    masks = torch.zeros(2, 32, 32, dtype=torch.uint8)
    masks[:, 4:12, 4:12] = 1
    logits = torch.where(masks == 1, 5.0, -5.0).unsqueeze(1)
    logits[0, 0, ::3, ::3] = 5.0
    measured = measure(BINARY, logits, masks)
    assert measured.degenerate == 1
    assert measured.metrics["object_recall"] == 0.5


@pytest.mark.parametrize("channels", [2, 3])
def test_logits_of_the_wrong_shape_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=r"logits must be \(2, 1, 8, 8\)"):
        Meter(BINARY, PLAIN, "cpu").update(torch.zeros(2, channels, 8, 8), torch.zeros(2, 8, 8).long())


class Additions(TorchDispatchMode):
    """How integers are added up: with deterministic kernels, or as comes."""

    def __init__(self) -> None:
        super().__init__()
        self.deterministic: list[bool] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if operator.name().startswith("aten::scatter_add"):
            assert not args[0].is_floating_point()
            self.deterministic.append(torch.are_deterministic_algorithms_enabled())
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("prior", [BINARY, THREE])
def test_pixels_are_counted_by_the_fast_kernels_in_a_deterministic_training_too(prior: ClassPrior) -> None:
    """On a GPU a deterministic sum sorts first, and a sum of integers is the same in any order."""
    logits, masks = scenes(prior)
    meter = Meter(prior, PLAIN, "cpu")
    with isolated(0, "evaluation", deterministic=True), Additions() as seen:
        meter.update(logits, masks)
    assert seen.deterministic
    assert not any(seen.deterministic)
