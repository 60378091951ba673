"""How fast it is on a GPU: training, trials side by side, data that don't fit, evaluation, losses."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from gpu_setting import LOSSES, Setting, loaded, scratch
from torch import Tensor, nn
from training_contenders import lightning, ours, write_scenes
from training_roofline import Machine, Work

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.crops.batches import Batch, Split
from lossweep.trainers.determinism import isolated
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.loop.prefix import TrainedEpoch
from lossweep.trainers.loop.snapshots import Snapshot
from lossweep.trainers.losses import SegmentationLoss, build_loss
from lossweep.trainers.metrics.meter import Meter
from lossweep.trainers.metrics.truth import Truth
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import MeasureSpec, TrialPlan

HERE = Path(__file__).resolve().parent
ROUNDS = 4
LINE = "weighted_ce(weights=[1, 10]) @1e-3"


def speed(setting: Setting) -> Iterator[str]:
    """Ours, a bare loop with neither our data nor our loss, and Lightning where it is installed."""
    yield (
        "Images a second, the median of rounds in turn; the first warms up. The bare loop takes one batch "
        "that lies on the device and torch's own BCE: neither our data path nor our loss. The roofline is "
        "that of eager operations."
    )
    yield ""
    heads = ["batch", "ours", "with graphs", "bare", "ours / bare"]
    heads += ["Lightning", "ours / Lightning", "of the roofline"]
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    with_lightning = importlib.util.find_spec("lightning") is not None
    for batch in setting.batches:
        spec = setting.scenes(setting.steps * batch)
        data = loaded(spec)
        line, epochs = f"{LINE} x{ROUNDS + 1}", ROUNDS + 1
        eager = setting.plan(line, epochs, batch, spec, evaluate_every=1, graphs=False)
        graphed = setting.plan(line, epochs, batch, spec, evaluate_every=1, graphs=True)
        plan = eager
        contenders: dict[str, Iterator[float]] = {
            "ours": ours(eager, data, setting.device),
            **({"graphs": ours(graphed, data, setting.device)} if setting.on_gpu else {}),
            "bare": _bare(setting, plan, data.channels, data.prior),
        }
        if with_lightning:
            folder = scratch("lightning")
            write_scenes(spec, folder)
            precision = {torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}.get(
                Numerics.of(plan.training, setting.device).dtype or torch.float32, "32-true"
            )
            images = setting.steps * batch
            contenders["lightning"] = lightning(plan, folder, setting.device, precision, 8, images)
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for index in range(ROUNDS + 1):
            for name, contender in contenders.items():
                rate = next(contender)
                if index:
                    rates[name].append(rate)
        cells = [
            _spread(rates["ours"]),
            _spread(rates["graphs"]) if setting.on_gpu else "no GPU",
            f"{median(rates['bare']):.0f}",
            f"{_ratio(rates['ours'], rates['bare']):.2f}",
            f"{median(rates['lightning']):.0f}" if with_lightning else "not installed",
            f"{_ratio(rates['ours'], rates['lightning']):.2f}" if with_lightning else "–",
            f"{median(rates['ours']) * _roofline(setting, plan) / batch:.0%}",
        ]
        yield f"| {batch} | {' | '.join(cells)} |"
    for graphs in (False, True) if setting.on_gpu else (False,):
        yield ""
        yield from _profiled(setting, graphs)


def _spread(rates: list[float]) -> str:
    return f"{median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def _bare(setting: Setting, plan: TrialPlan, channels: int, prior: ClassPrior) -> Iterator[float]:
    numerics, batch = Numerics.of(plan.training, setting.device), plan.training.batch
    model = numerics.place(build_model(plan.model, prior, channels, 0))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    images = numerics.lay_out(torch.randn(batch, channels, setting.tile, setting.tile, device=setting.device))
    masks = (torch.rand(batch, 1, setting.tile, setting.tile, device=setting.device) < 0.02).float()
    weight = torch.tensor([10.0], device=setting.device)
    while True:
        setting.wait()
        began = time.perf_counter()
        for _ in range(setting.steps):
            with numerics.autocast():
                logits = model(images)
            optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(logits.float(), masks, pos_weight=weight).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        setting.wait()
        yield setting.steps * batch / (time.perf_counter() - began)


def _step(setting: Setting, batch: int, graphs: bool = False) -> tuple[Optimization, Any, Any, TrialPlan]:
    spec = setting.scenes(setting.steps * batch)
    data = loaded(spec)
    plan = setting.plan(f"{LINE} x1", 1, batch, spec, graphs=graphs)
    numerics = Numerics.of(plan.training, setting.device)
    optimization = Optimization(
        numerics.place(build_model(plan.model, data.prior, data.channels, 0)), plan.training, numerics, batch
    )
    criterion = numerics.place_loss(build_loss(plan.schedule.phases[0].loss, data.prior))

    def alone(*path: int | str) -> AbstractContextManager[None]:
        return isolated(0, *path, device=setting.device, deterministic=False)

    optimization.use_graphs(plan, data.channels, setting.steps, alone)
    return optimization, criterion, data, plan


def _roofline(setting: Setting, plan: TrialPlan) -> float:
    numerics = Numerics.of(plan.training, setting.device)
    machine = Machine.measured(setting.device, numerics.dtype or torch.float32)
    optimization, criterion, data, _ = _step(setting, plan.training.batch)
    batch = next(data.train.training_batches(0, 0, plan.training.batch, setting.device))
    with Work() as work:
        optimization.step(batch.images, batch.masks, criterion, 1e-3)
    return work.seconds(machine)


def _profiled(setting: Setting, graphs: bool) -> Iterator[str]:
    """Ten steps of the middle batch size: kernels, and the share of time that the GPU is busy."""
    from torch.profiler import ProfilerActivity, profile

    size = setting.batches[len(setting.batches) // 2]
    optimization, criterion, data, _ = _step(setting, size, graphs)
    batches = data.train.training_batches(0, 0, size, setting.device)
    warm = next(batches)
    for _ in range(3):
        optimization.step(warm.images, warm.masks, criterion, 1e-3)
    setting.wait()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setting.on_gpu else [])]
    steps, began = 0, time.perf_counter()
    with profile(activities=kinds) as seen:
        for _, batch in zip(range(10), batches, strict=False):
            optimization.step(batch.images, batch.masks, criterion, 1e-3)
            steps += 1
        setting.wait()
        wall = time.perf_counter() - began
    if not setting.on_gpu:
        yield f"No GPU: {steps} steps profiled, {sum(1 for _ in seen.events())} events."
        return
    kernels = [event for event in seen.events() if event.device_type is torch.autograd.DeviceType.CUDA]
    busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
    names = Counter[str]()
    for event in kernels:
        names[event.name] += event.time_range.elapsed_us()
    copies = sum("HtoD" in event.name or "DtoH" in event.name for event in kernels)
    yield (
        f"{steps} steps of {size} {'with' if graphs else 'without'} graphs: "
        f"{len(kernels) / max(1, steps):.0f} kernels a step, the GPU busy "
        f"{busy / wall:.0%} of the time (under the profiler), {copies} copies between host and device. "
        "The longest:"
    )
    yield ""
    for name, microseconds in names.most_common(5):
        yield f"- {microseconds / max(1, steps) / 1000:.2f} ms a step: `{name[:90]}`"


def side_by_side(setting: Setting) -> Iterator[str]:
    """1, 2, 4 and 8 processes that train with the smallest batch at once, each held to its share."""
    yield "| trials at once | images/s in all | as many times as one | largest memory of one, MiB |"
    yield "| --- | --- | --- | --- |"
    alone = 0.0
    for count in (1, 2, 4, 8) if setting.on_gpu else (1, 2):
        told = _beside(count)
        rate = sum(one["rate"] for one in told)
        alone = alone or rate
        yield f"| {count} | {rate:.0f} | {rate / alone:.2f} | {max(one['memory'] for one in told)} |"


def _beside(count: int) -> list[dict[str, float]]:
    """So many processes, all of which begin once the last is ready."""
    command = [sys.executable, str(HERE / "gpu_child.py"), "beside", str(count)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **pipes) for _ in range(count)]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    return [json.loads(child.communicate()[0].strip().splitlines()[-1]) for child in children]


def resident(setting: Setting) -> Iterator[str]:
    """The same epoch cut from pixels on the device, and packed and sent batch by batch."""
    size = setting.batches[-1 if not setting.on_gpu else 1]
    spec = setting.scenes(setting.steps * size)
    data = loaded(spec)
    scaled = loaded(
        spec.model_copy(update={"augment": spec.augment.model_copy(update={"scale": (0.7, 1.5)})})
    )
    yield "| crops | on the device, images/s | packed and sent, images/s | equal bit for bit |"
    yield "| --- | --- | --- | --- |"
    for name, split in (("as they are", data.train), ("magnified", scaled.train)):
        here = _cut(setting, split, size)
        if setting.on_gpu:
            kept, split._resident = split._resident, {setting.device: split._flat(torch.device("cpu"))}
            there = _cut(setting, split, size)
            split._resident = kept
            told, same = f"{there[0]:.0f}", all(map(torch.equal, here[1], there[1]))
        else:
            told, same = "no GPU", True
        yield f"| {name} | {here[0]:.0f} | {told} | {'yes' if same else '**no**'} |"


def _cut(setting: Setting, split: Split, size: int) -> tuple[float, tuple[Tensor, Tensor]]:
    images, first = 0, None
    for epoch in (0, 1):
        setting.wait()
        began, images = time.perf_counter(), 0
        for batch in split.training_batches(0, epoch, size, setting.device):
            first = first or (batch.images.cpu(), batch.masks.cpu())
            images += len(batch)
        setting.wait()
    assert first is not None
    return images / (time.perf_counter() - began), first


def evaluation(setting: Setting) -> Iterator[str]:
    """Evaluating tiles by part, one large image, and what a checkpoint takes."""
    count, side = (256, 4096) if setting.on_gpu else (4, 256)
    spec = setting.scenes(8, val=count)
    data = loaded(spec)
    plan = setting.plan("cross_entropy @1e-3 x1", 1, setting.batches[1], spec)
    numerics = Numerics.of(plan.training, setting.device)
    model = numerics.place(build_model(plan.model, data.prior, data.channels, 0))

    def cut() -> list[Batch]:
        return list(data.val.evaluation_batches(plan.training.batch, setting.device))

    batches = cut()

    @torch.inference_mode()
    def forward() -> None:
        model.eval()
        for each in batches:
            with numerics.autocast():
                model(numerics.lay_out(each.images))

    truth = Truth(len(data.prior.names) - 1, MeasureSpec())

    def measured(objects: bool, known: Truth | None = None) -> None:
        meter = Meter(data.prior, MeasureSpec(), setting.device, objects, truth=known)
        for each in batches:
            logits = each.images[:, :1].contiguous()
            meter.update(logits, each.masks)
        meter.compute(objects=objects)

    yield "| what | seconds |"
    yield "| --- | --- |"
    yield f"| {count} tiles of {setting.tile} pixels: cut and sent | {setting.seconds(cut, 2):.3f} |"
    yield f"| forward | {setting.seconds(forward, 2):.3f} |"
    yield f"| pixels counted | {setting.seconds(lambda: measured(False), 2):.3f} |"
    yield f"| pixels and objects counted | {setting.seconds(lambda: measured(True), 2):.3f} |"
    known = setting.seconds(lambda: measured(True, truth), 2)
    yield f"| likewise, the truth's objects labelled before | {known:.3f} |"
    large = loaded(spec.model_copy(update={"tile": side, "train": 1, "val": 1, "test": 1, "crops": 1}))

    def whole() -> None:
        training, device = plan.training, setting.device
        evaluate_split(model, large.val, large.prior, MeasureSpec(), training=training, device=device)

    yield f"| one image of {side} x {side}, in windows | {setting.seconds(whole, 1):.2f} |"
    optimization = Optimization(model, plan.training, numerics, plan.training.batch)
    criterion = numerics.place_loss(build_loss(plan.schedule.phases[0].loss, data.prior))
    batch = next(data.train.training_batches(0, 0, 2, setting.device))
    optimization.step(batch.images, batch.masks, criterion, 1e-3)
    store = CheckpointStore(scratch("checkpoints"))
    history = (TrainedEpoch("x", 0, None, 0),)
    seconds = setting.seconds(lambda: store.save("context", history, optimization.state_dict()), 3)
    size = sum(one.bytes for one in store.list()) / 2**20
    copied = setting.seconds(lambda: Snapshot(optimization.state_dict()).state(), 3)
    yield f"| a state of {size:.0f} MiB copied to the host, between two steps | {copied:.3f} |"
    yield f"| its checkpoint written, by a thread while training goes on | {seconds:.3f} |"


def cost(setting: Setting) -> Iterator[str]:
    """Forward and backward of each loss, alone, beside SMP's and MONAI's, and as a share of a step."""
    batch = setting.batches[len(setting.batches) // 2]
    optimization, criterion, data, _ = _step(setting, batch)
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(0.98, 0.02))
    losses = {
        line: build_loss(LossSchedule.parse(f"{line} @1e-3 x1").phases[0].loss, prior).to(setting.device)
        for line in LOSSES
    }
    asked = {name for loss in losses.values() for name in loss.maps}
    one = next(data.train.training_batches(0, 0, batch, setting.device, asked))
    step = setting.seconds(lambda: optimization.step(one.images, one.masks, criterion, 1e-3))
    theirs = (_of_smp(), _of_monai())
    yield (
        f"Batch {batch}, {setting.tile} x {setting.tile}, two classes, float32 logits; "
        f"a step takes {step * 1000:.2f} ms."
    )
    yield ""
    yield "| loss | ms | of a step | SMP's, ms | MONAI's, ms |"
    yield "| --- | --- | --- | --- | --- |"
    logits = torch.randn(batch, 1, setting.tile, setting.tile, device=setting.device, requires_grad=True)
    column = one.masks[:, None].float()
    for line, loss in losses.items():

        def through(loss: SegmentationLoss = loss) -> None:
            torch.stack(list(loss.parts(logits, one.masks, one.maps).values())).sum().backward()  # type: ignore[no-untyped-call]  # torch's own

        mine = setting.seconds(through)
        others = []
        for peers in theirs:
            peer = peers.get(line)
            if peer is None:
                others.append("–" if peers else "not installed")
                continue
            peer = peer.to(setting.device)
            seconds = setting.seconds(lambda peer=peer: peer(logits, column).backward())
            others.append(f"{1000 * seconds:.2f}")
        yield f"| {line} | {1000 * mine:.2f} | {mine / step:.1%} | {' | '.join(others)} |"


def _of_smp() -> dict[str, nn.Module]:
    losses = smp.losses
    return {
        "cross_entropy": losses.SoftBCEWithLogitsLoss(),
        "focal(gamma=2)": losses.FocalLoss("binary", gamma=2.0),
        "jaccard": losses.JaccardLoss("binary"),
        "dice": losses.DiceLoss("binary"),
        "tversky(alpha=0.3, beta=0.7)": losses.TverskyLoss("binary", alpha=0.3, beta=0.7),
        "lovasz": losses.LovaszLoss("binary", per_image=False),
        "lovasz(reduction=image)": losses.LovaszLoss("binary", per_image=True),
        "mcc": losses.MCCLoss(),
    }


def _of_monai() -> dict[str, nn.Module]:
    """Where it is installed; no bare machine has it."""
    if importlib.util.find_spec("monai") is None:
        return {}
    from monai import losses

    region = {"sigmoid": True, "batch": True, "smooth_nr": 1.0, "smooth_dr": 1.0}
    return {
        "focal(gamma=2)": losses.FocalLoss(gamma=2.0),
        "jaccard": losses.DiceLoss(jaccard=True, **region),
        "dice": losses.DiceLoss(**region),
        "tversky(alpha=0.3, beta=0.7)": losses.TverskyLoss(alpha=0.3, beta=0.7, **region),
    }
