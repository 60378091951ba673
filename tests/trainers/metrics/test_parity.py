"""The same figures as torchmetrics, SMP and MONAI, where those mean the same: counts summed over a split."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
from monai.metrics import ConfusionMatrixMetric, compute_confusion_matrix_metric
from torch import Tensor
from torchmetrics import classification

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.metrics import Meter
from lossweep.trainers.plan import MeasureSpec

TWO = ClassPrior(names=("ground", "car"), frequencies=(0.9, 0.1))
FOUR = ClassPrior(names=("ground", "car", "ship", "crane"), frequencies=(0.7, 0.1, 0.1, 0.1))
SEEDS = range(4)
FIGURES = {"precision": "Precision", "recall": "Recall", "f1": "F1Score", "iou": "JaccardIndex"}


def scene(classes: int, seed: int, ignored: float = 0.1) -> tuple[Tensor, Tensor]:
    """Logits that know something of blocky masks; the last class is absent from every other seed."""
    generator = torch.Generator().manual_seed(seed)
    present = classes - (classes > 2 and seed % 2)
    blocks = torch.randint(0, present, (5, 6, 6), generator=generator)
    masks = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    logits = torch.randn(5, classes, 24, 24, generator=generator)
    logits += 1.5 * torch.nn.functional.one_hot(masks, classes).permute(0, 3, 1, 2)
    masks = masks.masked_fill(torch.rand(masks.shape, generator=generator) < ignored, 255)
    return (logits[:, 1:] if classes == 2 else logits), masks


def measured(prior: ClassPrior, logits: Tensor, masks: Tensor) -> dict[str, float]:
    meter = Meter(prior, MeasureSpec(), "cpu")
    for image in range(len(logits)):  # one by one: what is summed is the counts
        meter.update(logits[image : image + 1], masks[image : image + 1])
    return dict(meter.compute().metrics)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_two_classes_are_torchmetrics(name: str, seed: int) -> None:
    logits, masks = scene(2, seed)
    theirs = getattr(classification, f"Binary{FIGURES[name]}")(ignore_index=255)
    expected = theirs(logits[:, 0].sigmoid(), masks)
    assert measured(TWO, logits, masks)[name] == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_each_of_several_classes_are_torchmetrics(name: str, seed: int) -> None:
    logits, masks = scene(4, seed)
    theirs = getattr(classification, f"Multiclass{FIGURES[name]}")(4, average="none", ignore_index=255)
    expected = theirs(logits, masks)[1:]
    ours = measured(FOUR, logits, masks)
    assert [ours[f"{name}/{each}"] for each in FOUR.names[1:]] == pytest.approx(expected.tolist(), abs=1e-6)
    # A class that is predicted but absent counts as 0, as with them; background is in no mean of ours.
    assert ours[name] == pytest.approx(expected.mean().item(), abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_average_precision_is_torchmetrics_but_for_the_bins(seed: int) -> None:
    logits, masks = scene(2, seed)
    expected = classification.BinaryAveragePrecision(ignore_index=255)(logits[:, 0].sigmoid(), masks)
    assert measured(TWO, logits, masks)["ap"] == pytest.approx(expected.item(), abs=5e-4)
    logits, masks = scene(4, 2 * seed)
    theirs = classification.MulticlassAveragePrecision(4, average="none", ignore_index=255)
    expected = theirs(logits.softmax(1), masks)[1:]
    ours = measured(FOUR, logits, masks)
    assert [ours[f"ap/{name}"] for name in FOUR.names[1:]] == pytest.approx(expected.tolist(), abs=5e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_smps(seed: int) -> None:
    logits, masks = scene(4, seed)
    counts = smp.metrics.get_stats(
        logits.argmax(1), masks, mode="multiclass", num_classes=4, ignore_index=255
    )
    tp, fp, fn, tn = (count.sum(0, keepdim=True) for count in counts)
    ours = measured(FOUR, logits, masks)
    for name, theirs in (("iou", smp.metrics.iou_score), ("f1", smp.metrics.f1_score)):
        expected = theirs(tp, fp, fn, tn, reduction=None, zero_division=0.0)[0, 1:]
        found = [ours[f"{name}/{each}"] for each in FOUR.names[1:]]
        assert found == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_monais(seed: int) -> None:
    """MONAI knows no ignored pixels."""
    logits, masks = scene(4, 2 * seed, ignored=0.0)
    truth, called = (
        torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2) for labels in (masks, logits.argmax(1))
    )
    metric = ConfusionMatrixMetric(include_background=False, metric_name=("f1 score",), reduction="sum_batch")
    metric(called, truth)
    counts = metric.get_buffer().sum(0)
    ours = measured(FOUR, logits, masks)
    for name, theirs in (("precision", "precision"), ("recall", "sensitivity"), ("f1", "f1 score")):
        expected = compute_confusion_matrix_metric(theirs, counts)
        found = [ours[f"{name}/{each}"] for each in FOUR.names[1:]]
        assert found == pytest.approx(expected.tolist(), abs=1e-6)
