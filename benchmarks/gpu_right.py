"""What has to hold on a GPU: values, gradients, no waiting, resuming, memory, and what a lost device does."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from gpu_setting import LOSSES, Setting, loaded, scratch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.gpu_errors import is_dead, is_out_of_memory
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.loop.training import train
from lossweep.trainers.losses import build_loss
from lossweep.trainers.models import build_model

HERE = Path(__file__).resolve().parent


def losses(setting: Setting) -> Iterator[str]:
    """Every loss by classes, precision and optimizer: against the CPU's, and two epochs of training."""
    yield (
        "Value and gradient on the device in float32 against the CPU's; the loss of two epochs; "
        "what made the host wait within a step."
    )
    yield ""
    yield "| loss | classes | value | gradient | trained | waits |"
    yield "| --- | --- | --- | --- | --- | --- |"
    precisions = ("bfloat16", "float16", "float32") if setting.on_gpu else ("float32",)
    variants = [(precision, optimizer) for precision in precisions for optimizer in ("adamw", "sgd")]
    for line in LOSSES:
        for classes in (2, 3):
            value, gradient = _apart(line, classes, setting.device)
            trained, waits = [], set[str]()
            for precision, optimizer in variants:
                first, last, seen = _trained(setting, line, classes, precision, optimizer)
                figures = f"{first:.3f} {last:.3f}" if math.isfinite(last) else "**not finite**"
                trained.append(f"{precision} {optimizer} {figures}")
                waits |= seen
            shown, waited = "<br>".join(trained), ", ".join(sorted(waits)) or "none"
            yield f"| {line} | {classes} | {value:.1e} | {gradient:.1e} | {shown} | {waited} |"


def _apart(line: str, classes: int, device: torch.device) -> tuple[float, float]:
    prior = _prior(classes)
    generator = torch.Generator().manual_seed(classes)
    logits = 3.0 * torch.randn(4, prior.channels, 64, 64, generator=generator)
    target = torch.randint(classes, (4, 64, 64), generator=generator).to(torch.uint8)
    target[0, :8] = 255
    loss = LossSchedule.parse(f"{line} @1e-3 x1").phases[0].loss
    found: list[tuple[Tensor, Tensor]] = []
    for place in (torch.device("cpu"), device):
        z = logits.detach().to(place).requires_grad_()
        value = build_loss(loss, prior).to(place)(z, target.to(place))
        value.backward()
        assert z.grad is not None
        found.append((value.detach().cpu(), z.grad.cpu()))
    (value, gradient), (there, slope) = found
    scale = gradient.abs().max().clamp_min(1e-30)
    return float((value - there).abs() / value.abs().clamp_min(1e-30)), float(
        (gradient - slope).abs().max() / scale
    )


def _trained(
    setting: Setting, line: str, classes: int, precision: str, optimizer: str
) -> tuple[float, float, set[str]]:
    size = setting.small_batch
    spec = setting.scenes(2 * size, classes)
    data = loaded(spec)
    plan = setting.plan(f"{line} @1e-3 x2", 2, size, spec, precision=precision, optimizer=optimizer)
    numerics = Numerics.of(plan.training, setting.device)
    model = numerics.place(build_model(setting.model, data.prior, data.channels, 0))
    optimization = Optimization(model, plan.training, numerics, size)
    criterion = numerics.place_loss(build_loss(plan.schedule.phases[0].loss, data.prior))
    values, waits = [], set[str]()
    for epoch in range(2):
        total = torch.zeros((), device=setting.device)
        batches = data.train.training_batches(0, epoch, size, setting.device, criterion.maps)
        for index, batch in enumerate(batches):
            watched = setting.on_gpu and epoch == 1 and index > 0
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                if watched:
                    torch.cuda.set_sync_debug_mode("warn")
                step = optimization.step(batch.images, batch.masks, criterion, 1e-3, batch.maps)
                if setting.on_gpu:
                    torch.cuda.set_sync_debug_mode("default")
            # A gradient scaler asks whether the step overflowed: float16 waits by its nature.
            if precision != "float16":
                waits |= {
                    f"{Path(one.filename).name}:{one.lineno}"
                    for one in seen
                    if "synchroniz" in str(one.message)
                }
            total += sum(step.parts.values())
        values.append(float(total))
    return values[0], values[1], waits


def _prior(classes: int) -> ClassPrior:
    rest = 0.1 / (classes - 1)
    return ClassPrior(
        names=tuple(f"c{i}" for i in range(classes)), frequencies=(0.9, *[rest] * (classes - 1))
    )


def resuming(setting: Setting) -> Iterator[str]:
    """Three epochs at a stretch, and stopped after each in turn."""
    yield "| deterministic | graphs | equal to an uninterrupted training | last metrics apart by at most |"
    yield "| --- | --- | --- | --- |"
    spec = setting.scenes(32)
    data = loaded(spec)
    for deterministic, graphs in product((False, True), (False, True)):
        plan = setting.plan(
            "cross_entropy @1e-3 x2 -> dice @1e-4 x1",
            3,
            8,
            spec,
            deterministic=deterministic,
            graphs=graphs,
            evaluate_every=1,
        )
        whole = list(train(plan, data, device=setting.device))
        store = CheckpointStore(scratch("resuming"))
        for _ in range(3):
            course = train(plan, data, store, device=setting.device)
            seen: list[Evaluation] = []
            for evaluation in course:
                seen.append(evaluation)
                if evaluation.seconds > 0:
                    break
            course.close()
        pieces = list(train(plan, data, store, device=setting.device))
        apart = max(abs(whole[-1].metrics[name] - pieces[-1].metrics[name]) for name in whole[-1].metrics)
        same = [one.metrics for one in whole] == [one.metrics for one in pieces]
        told = "yes" if deterministic else "no", ("on" if setting.on_gpu else "no GPU") if graphs else "off"
        yield f"| {' | '.join(told)} | {'bit for bit' if same else 'no'} | {apart:.1e} |"


def memory(setting: Setting) -> Iterator[str]:
    """Four processes, a quarter of the GPU each, of which one asks for more than there is; a full GPU."""
    if not setting.on_gpu:
        yield "No GPU: not rehearsed but for the errors' names."
        yield ""
        error = torch.OutOfMemoryError("CUDA out of memory.")
        yield f"`{type(error).__name__}` is a lack of memory: {is_out_of_memory(error)}."
        return
    free, total = torch.cuda.mem_get_info()
    context = _told(_child("context", "0"), 60.0).get("context", "–")
    yield f"Of {total / 2**30:.0f} GiB, {free / 2**30:.0f} were free before. A context takes {context} MiB."
    yield ""
    workers = [_child("share", str(index)) for index in range(4)]
    told = [_told(worker, 120.0) for worker in workers]
    keys = ("error", "known", "steps")
    yield "| process | what it met | known as a lack of memory | steps done |"
    yield "| --- | --- | --- | --- |"
    for index, one in enumerate(told):
        cells = [one.get(key, missing) for key, missing in zip(keys, ("nothing", "–", "–"), strict=True)]
        yield f"| {index} | {' | '.join(map(str, cells))} |"
    yield ""
    yield "On a GPU that another process has filled, outside torch's own bound:"
    yield ""
    filler = _child("fill", "0")
    assert filler.stdout is not None
    filled = filler.stdout.readline().strip()
    try:
        starved = _told(_child("starve", "0"), 60.0)
    finally:
        filler.kill()
        filler.wait()
    yield f"- {filled or 'it could not be filled'}"
    for name in ("context", "convolution", "product"):
        met, known = starved.get(name, "not reached"), starved.get(f"{name}_known", "–")
        yield f"- {name}: {met}; known as a lack of memory: {known}"


def lost(setting: Setting) -> Iterator[str]:
    """A device assert in a child: what it raises, then and afterwards, and whether a new process trains."""
    if not setting.on_gpu:
        yield "No GPU: not rehearsed but for the errors' names."
        yield ""
        error = torch.AcceleratorError("CUDA error: device-side assert triggered", 710)
        yield f"`{type(error).__name__}` takes the GPU: {is_dead(error)}."
        return
    told = _told(_child("assert", "0"), 90.0)
    yield f"- An index out of range raised `{told.get('error')}`; known as a lost GPU: {told.get('known')}."
    yield f"- The next call in that process: `{told.get('after')}`; known: {told.get('after_known')}."
    after = _told(_child("trains", "0"), 90.0)
    yield f"- A new process: {after.get('steps', 0)} steps."


def _child(kind: str, argument: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "gpu_child.py"), kind, argument]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _told(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return {"error": f"nothing for {seconds:.0f} s"}
    lines: Sequence[str] = out.strip().splitlines()
    if not lines:
        return {"error": error.strip().splitlines()[-1] if error.strip() else "ended without a word"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def first_steps(setting: Setting, steps: int, batch: int = 8) -> float:
    """Train some steps and return images a second, for the processes that `gpu_child` runs."""
    spec = setting.scenes(steps * batch)
    data = loaded(spec)
    plan = setting.plan("cross_entropy @1e-3 x3", 3, batch, spec)
    numerics = Numerics.of(plan.training, setting.device)
    model = numerics.place(build_model(setting.model, data.prior, data.channels, 0))
    optimization = Optimization(model, plan.training, numerics, batch)
    criterion = numerics.place_loss(build_loss(plan.schedule.phases[0].loss, data.prior))
    began, images = time.perf_counter(), 0
    for epoch in range(3):
        if epoch == 1:
            setting.wait()
            began, images = time.perf_counter(), 0
        for each in data.train.training_batches(0, epoch, batch, setting.device):
            optimization.step(each.images, each.masks, criterion, 1e-3)
            images += len(each)
    setting.wait()
    return images / (time.perf_counter() - began)
