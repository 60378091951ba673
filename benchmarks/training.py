"""Images/s of lossweep's loop against a bare PyTorch loop and against Lightning, alternating in one run.

Run ``python benchmarks/training.py --output docs/training-benchmark.md`` in a quiet hour; on a GPU add
``--device cuda --batches 8 32 128 --steps 60``. Every contender trains an epoch a round, in turn, so that
what disturbs the machine disturbs all; the first round warms up and is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from training_contenders import bare, lightning, ours, schedule, write_scenes
from training_roofline import Machine, Work

from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.gpu import indexed
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.losses import build_loss
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

LIGHTNING = {torch.float32: "32-true", torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}


def main() -> None:
    options = arguments()
    warnings.filterwarnings("ignore")
    device = indexed(torch.device(options.device))
    lines = [*heading(options, device)]
    for batch in options.batches:
        with tempfile.TemporaryDirectory() as folder:
            lines += measured(options, device, batch, Path(folder))
        if options.output:
            options.output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def measured(options: argparse.Namespace, device: torch.device, batch: int, folder: Path) -> list[str]:
    """One batch size's rows."""
    images = options.steps * batch
    scenes = min(images, options.scenes)
    spec = ScenesSource(
        source="scenes", tile=options.tile, train=scenes, val=2, test=1, crops=-(-images // scenes)
    )
    data = load_data(spec, folder / "cache")
    write_scenes(spec, folder)
    training = TrainingSpec(batch=batch, precision=options.precision, threads=options.threads)
    epochs = options.rounds + 1
    model = ModelSpec(architecture=options.architecture, encoder=options.encoder)
    plan = TrialPlan(0, 0, schedule(epochs), spec, model, training, GuardSpec(), MeasureSpec())
    dtype = Numerics.of(training, device).dtype or torch.float32
    contenders: dict[str, Iterator[float]] = {
        "lossweep": ours(plan, data, device),
        "bare PyTorch loop": bare(plan, data, device),
    }
    for precision in dict.fromkeys((LIGHTNING[dtype], *(["32-true"] if device.type == "cpu" else []))):
        name = f"Lightning + DataLoader, {precision}"
        contenders[name] = lightning(plan, folder, device, precision, options.workers, images)
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(epochs):
        for name, contender in contenders.items():
            rate = next(contender)
            if index:
                rounds[name].append(rate)
            turn = f"round {index} of {options.rounds}" if index else "warming up"
            print(f"batch {batch}, {turn}, {name}: {rate:.1f} images/s", file=sys.stderr, flush=True)
    best = batch / step_roofline(plan, data, device)
    return rows(batch, rounds, best)


def rows(batch: int, rounds: dict[str, list[float]], best: float) -> list[str]:
    """Medians, spreads, and lossweep over each contender, round by round."""
    mine = rounds["lossweep"]
    lines = [
        "",
        f"## Batch {batch} (eager roofline {best:.0f} images/s)",
        "",
        "| contender | images/s, median | least to most | lossweep is faster by | of the roofline |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, rates in rounds.items():
        ratios = [own / other for own, other in zip(mine, rates, strict=True)]
        ratio = (
            "" if name == "lossweep" else f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        lines.append(
            f"| {name} | {median(rates):.1f} | {min(rates):.1f} to {max(rates):.1f} | {ratio} | "
            f"{median(rates) / best:.0%} |"
        )
    return lines


def step_roofline(plan: TrialPlan, data: SegmentationData, device: torch.device) -> float:
    """Seconds a training step takes at least, from what its operations move and multiply."""
    torch.set_num_threads(plan.training.threads)
    numerics = Numerics.of(plan.training, device)
    machine = Machine.measured(device, numerics.dtype or torch.float32)
    model = numerics.place(build_model(plan.model, data.prior, data.channels, 0))
    criterion = build_loss(plan.schedule.phases[0].loss, data.prior).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batch = next(data.train.training_batches(0, 0, plan.training.batch, device))
    with Work() as work:
        with numerics.autocast():
            logits = model(numerics.lay_out(batch.images))
        criterion(logits, batch.masks).backward()
        optimizer.step()
    return work.seconds(machine)


def heading(options: argparse.Namespace, device: torch.device) -> list[str]:
    """What was measured, and where."""
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{processor()}, {os.cpu_count()} cores, {options.threads} thread(s) of computation"
    precision = Numerics.of(TrainingSpec(precision=options.precision), device)
    return [
        "# Training throughput",
        "",
        f"{options.architecture} with {options.encoder}, {options.tile}x{options.tile}, {precision}, "
        f"{machine}, PyTorch {torch.__version__}, {options.workers} DataLoader worker(s). "
        f"{options.rounds} rounds of {options.steps} steps each, all contenders in turn.",
    ]


def processor() -> str:
    """The CPU's name."""
    try:
        names = [
            line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
        ]
        return names[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = os.cpu_count() or 1
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[8])
    parser.add_argument("--steps", type=int, default=4, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--scenes", type=int, default=256, help="different training scenes at most")
    parser.add_argument("--architecture", default="Unet")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "float32", "tf32", "bfloat16", "float16"]
    )
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--workers", type=int, default=min(cores, 8), help="of Lightning's DataLoader")
    parser.add_argument("--output", type=Path, help="a Markdown file; printed when not given")
    return parser.parse_args()


if __name__ == "__main__":
    main()
