"""Plain CE, weighted CE, Jaccard and the WCE -> Jaccard cycle on a folder of images, as a table.

Thresholds are tuned on validation and used on test. Run for example::

    python benchmarks/real_data.py ../data/crackforest --classes background crack --epochs 40 --tile 256

Every finished (arm, seed) is kept in ``--work`` as JSON and every phase as a checkpoint, so that a run that
was stopped goes on where it was; arms with the same first phase train it once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import Augmentation, FolderSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

FIGURES = {
    "P": "precision",
    "R": "recall",
    "F1": "f1",
    "tuned P": "tuned_precision",
    "tuned R": "tuned_recall",
    "tuned F1": "tuned_f1",
    "AP": "ap",
    "object F1": "object_f1",
    "tuned object F1": "tuned_object_f1",
}


def main() -> None:
    options = arguments()
    spec = FolderSource(
        source="folder",
        root=str(options.root.absolute()),
        classes=tuple(options.classes),
        tile=options.tile,
        crops=options.crops,
        augment=Augmentation(foreground_bias=options.foreground_bias),
    )
    data = load_data(spec, options.work / "cache")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, line in arms(options).items():
        for seed in range(options.seeds):
            plan = TrialPlan(
                number=len(found) * options.seeds + seed,
                seed=seed,
                schedule=LossSchedule.parse(line).with_budget(options.epochs),
                data=spec,
                model=ModelSpec(
                    architecture=options.architecture,
                    encoder=options.encoder,
                    weights=options.weights,
                    options=json.loads(options.model_options),
                ),
                training=TrainingSpec(
                    batch=options.batch, evaluate_every=options.evaluate_every, threads=options.threads
                ),
                guards=GuardSpec(),
                measure=MeasureSpec(minimum_area=options.minimum_area),
            )
            found.setdefault(name, []).append(result(plan, data, options.work))
            print(f"{name}, seed {seed}: {found[name][-1]['note']}", flush=True)
    text = "\n".join(report(options, data, found))
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def arms(options: argparse.Namespace) -> dict[str, str]:
    """The schedules, all of the same budget; the last two have the same learning rates."""
    epochs, rate = options.epochs, f"{options.learning_rate:g}"
    low = f"{options.learning_rate / 10:g}"
    part = max(1, epochs // (2 * options.cycles))
    weighted = f"weighted_ce(power={options.power:g})"
    return {
        "cross-entropy": f"cross_entropy @{rate} x{epochs}",
        "weighted CE": f"{weighted} @{rate} x{epochs}",
        "Jaccard": f"jaccard @{rate} x{epochs}",
        "weighted CE -> Jaccard, cycled": (
            f"{weighted} @{rate} x{part} -> jaccard @{low} x{part} | {options.cycles} cycles"
        ),
        "weighted CE, same rates": (
            f"{weighted} @{rate} x{part} -> {weighted} @{low} x{part} | {options.cycles} cycles"
        ),
    }


def kept(plan: TrialPlan, data: SegmentationData, work: Path) -> Path:
    """The file of one arm's figures with one seed."""
    settings = repr((replace(plan, number=0), data.fingerprint))
    return work / "results" / f"{hashlib.sha256(settings.encode()).hexdigest()[:20]}.json"


def result(plan: TrialPlan, data: SegmentationData, work: Path) -> dict[str, Any]:
    """Train and measure one arm with one seed, or read what was measured before."""
    store = CheckpointStore(work / "checkpoints")
    path = kept(plan, data, work)
    if path.exists():
        before: dict[str, Any] = json.loads(path.read_text())
        return before
    began, last = time.perf_counter(), None
    for last in train(plan, data, store):
        ap, rate = last.metrics.get("ap", 0.0), last.images_per_second
        print(f"  epoch {last.epoch}: AP {ap:.3f}, {rate:.1f} images/s")
    assert last is not None
    model = trained_model(plan, data, store)
    if model is None:
        raise SystemExit(f"diverged before its first evaluation: {last.verdict}")
    val = evaluate_split(model, data.val, data.prior, plan.measure, training=plan.training)
    test = evaluate_split(model, data.test, data.prior, plan.measure, val.thresholds, training=plan.training)
    ended = f"stopped by {last.verdict.rule} at epoch {last.epoch}" if last.verdict else "whole budget"
    measured = {
        "val": dict(val.metrics),
        "test": dict(test.metrics),
        "note": f"{ended}, {time.perf_counter() - began:.0f} s",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured))
    return measured


def report(
    options: argparse.Namespace, data: SegmentationData, found: dict[str, list[dict[str, Any]]]
) -> list[str]:
    """The tables of validation and test, mean and standard deviation over seeds."""
    shares = ", ".join(
        f"{name} {100 * share:.{3 if share >= 0.99 else 2}g} %"
        for name, share in zip(data.prior.names, data.prior.frequencies, strict=True)
    )
    lines = [
        f"## {options.root.name}",
        "",
        f"{options.architecture} with {options.encoder} (weights: {options.weights or 'random'}), "
        f"{options.epochs} epochs of {data.train.crops} crops of {options.tile} pixels, "
        f"batch {options.batch}, learning rate {options.learning_rate:g}, {options.seeds} seeds, "
        f"foreground-biased crops {options.foreground_bias:g}; "
        f"{len(data.train)} / {len(data.val)} / {len(data.test)} images; "
        f"training pixels: {shares}. Mean ± standard deviation over seeds; thresholds from validation.",
        "",
        f"`{command(options)}`",
    ]
    for split in ("val", "test"):
        lines += [
            "",
            f"### {split}",
            "",
            f"| arm | {' | '.join(FIGURES)} |",
            "| --- " * (len(FIGURES) + 1) + "|",
        ]
        for name, seeds in found.items():
            cells = [spread([each[split][metric] for each in seeds]) for metric in FIGURES.values()]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    stopped = [
        f"{name}: {each['note']}"
        for name, seeds in found.items()
        for each in seeds
        if "stopped" in each["note"]
    ]
    return [*lines, *(["", "Stopped by a guard: " + "; ".join(stopped)] if stopped else [])]


def spread(values: list[float]) -> str:
    """Mean and, for several values, standard deviation."""
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def command(options: argparse.Namespace) -> str:
    """The command line, without paths of this machine."""
    parts = [f"python benchmarks/real_data.py {options.root.name}", "--classes", *options.classes]
    defaults = vars(parser().parse_args(["x"]))
    for name, value in vars(options).items():
        if name in ("root", "classes", "work", "output") or value == defaults[name]:
            continue
        parts += [f"--{name.replace('_', '-')}", f"'{value}'" if name == "model_options" else str(value)]
    return " ".join(parts)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="holds {train,val,test}/{images,masks}")
    parser.add_argument("--classes", nargs="+", default=["background", "foreground"])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument(
        "--crops", type=int, help="of each image in an epoch; as many as cover it when not given"
    )
    parser.add_argument("--foreground-bias", type=float, default=0.0)
    parser.add_argument("--architecture", default="Unet")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--weights", help="pretrained ones, such as imagenet; random when not given")
    parser.add_argument("--model-options", default="{}", help="JSON, such as '{\"encoder_depth\": 3}'")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--power", type=float, default=0.7, help="class weights are f^-power")
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluate-every", type=int, default=5)
    parser.add_argument("--minimum-area", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/real-data"), help="cache, checkpoints, results"
    )
    parser.add_argument("--output", type=Path, help="a Markdown file")
    return parser


def arguments() -> argparse.Namespace:
    return parser().parse_args()


if __name__ == "__main__":
    main()
