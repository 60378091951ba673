"""Record real trainings: every schedule of a small space, with several seeds, as one Parquet file.

    OMP_NUM_THREADS=1 python benchmarks/record.py scenes --seeds 0 1 --work /tmp/record
    OMP_NUM_THREADS=1 python benchmarks/record.py crackforest --root ../shared/data/crackforest ...
    python benchmarks/record.py --collect --work /tmp/record

`benchmarks/recorded/space.yaml` is the space, small enough to be trained through: so a sampler that proposes
from it meets a real curve whatever it proposes, and `benchmarks/replay.py` runs whole sweeps on it in
seconds. Within a seed all schedules share weights and the order of data, as within a sweep, and prefixes are
trained once.

Images of a folder are cut to one window each beforehand (`windows`), every other one around something:
evaluations of whole images would take most of the time. A schedule that is done is a line of JSON in
``--work``, so that a run that was stopped goes on where it was; several processes may record different seeds.
``--collect`` takes a data set with a seed only once all its schedules are there. docs/recorded-sweeps.md says
what the columns are, and what the record is good for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image
from recorded_space import CURVES, recorded_space, schedules_of
from search_arms import OBJECTIVE

from lossweep.search.simulation.sweeps import VEHICLES
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import DataSpec, FolderSource, ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

SIDE: Final = 64
COUNTS: Final = {"train": 32, "val": 32, "test": 48}
CLASSES: Final = {"scenes": "vehicle", "crackforest": "crack", "sirst": "target"}
MODEL: Final = ModelSpec(
    encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": [16, 8, 8]}
)
FIGURES: Final = (
    "ap", "precision", "recall", "f1", "tuned_precision", "tuned_recall", "tuned_f1", "object_f1",
    "tuned_object_f1",
)  # fmt: skip


def main() -> None:
    """Record, or collect what was recorded."""
    options = arguments()
    if options.collect:
        collect(options.work, options.output)
        return
    spec = data_of(options.dataset, options.root, options.work)
    data = load_data(spec, options.work / "cache")
    for seed in options.seeds:
        record(options.dataset, seed, spec, data, options.work)


def record(dataset: str, seed: int, spec: DataSpec, data: SegmentationData, work: Path) -> None:
    """Train every schedule with one seed; each is appended to a file of lines when it is done."""
    path = work / f"{dataset}-{seed}.jsonl"
    done = {line["key"] for line in lines(path)}
    store = CheckpointStore(work / "checkpoints")
    schedules = schedules_of(recorded_space(data.prior))
    for number, schedule in enumerate(schedules):
        if schedule.key in done:
            continue
        plan = TrialPlan(
            number=number,
            seed=seed,
            schedule=schedule,
            data=spec,
            model=MODEL,
            training=TrainingSpec(batch=4, precision="float32"),
            guards=GuardSpec(),
            measure=MeasureSpec(),
            held_out=OBJECTIVE,
        )
        began = time.process_time()
        rows = []
        for evaluation in train(plan, data, store):
            held_out = evaluation.held_out
            rows.append(
                {
                    "epoch": evaluation.epoch,
                    "step": evaluation.step,
                    "phase": evaluation.phase,
                    "cycle": evaluation.cycle,
                    "phase_ended": evaluation.phase_ended,
                    "cycle_ended": evaluation.cycle_ended,
                    "finished": evaluation.finished,
                    "diverged": evaluation.verdict.rule if evaluation.verdict else "",
                    "threshold": evaluation.threshold,
                    "trained": evaluation.seconds > 0.0,
                    "test": held_out.score if held_out else float("nan"),
                    **{name: evaluation.metrics.get(name, float("nan")) for name in FIGURES},
                }
            )
        line = {"key": schedule.key, "schedule": str(schedule), "rows": rows}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        last = rows[-1]
        told = f"tuned F1 {last['tuned_f1']:.3f}, {time.process_time() - began:.1f} s"
        print(f"{dataset} {seed} {number + 1}/{len(schedules)} {schedule}: {told}", flush=True)


def collect(work: Path, output: Path) -> None:
    """Write what was recorded as one Parquet file: the pairs of data set and seed that are complete.

    Raises:
        SystemExit: none is.
    """
    every = {str(schedule) for schedule in schedules_of(recorded_space(VEHICLES))}
    frames = []
    for path in sorted(work.glob("*-*.jsonl")):
        dataset, _, seed = path.stem.rpartition("-")
        found = lines(path)
        if missing := len(every - {line["schedule"] for line in found}):
            print(f"{dataset} with seed {seed} is left out: {missing} of {len(every)} schedules are missing")
            continue
        for line in found:
            frame = pd.DataFrame(line["rows"])
            frame.insert(0, "dataset", dataset)
            frame.insert(1, "seed", int(seed))
            frame.insert(2, "schedule", line["schedule"])
            frames.append(frame)
    if not frames:
        raise SystemExit(f"nothing in {work} is complete, so nothing is written")
    table = pd.concat(frames, ignore_index=True)
    figures = [*FIGURES, "threshold", "test"]
    table[figures] = table[figures].astype("float32")
    whole = ["seed", "epoch", "step", "phase", "cycle"]
    table[whole] = table[whole].astype("int16")
    table.to_parquet(output, compression="zstd", index=False)
    kept = table.groupby(["dataset", "seed"]).agg(schedules=("schedule", "nunique"), rows=("epoch", "size"))
    print(kept.to_string())
    print(f"wrote {output}: {output.stat().st_size / 2**20:.2f} MiB")


def lines(path: Path) -> list[dict[str, Any]]:
    """The schedules that a file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def data_of(dataset: str, root: Path | None, work: Path) -> DataSpec:
    """Procedural scenes, or windows of a folder of real images."""
    classes = ("background", CLASSES[dataset])
    if root is None:
        return ScenesSource(source="scenes", classes=classes, tile=SIDE, **COUNTS)
    made = work / "windows" / dataset
    windows(root, made)
    return FolderSource(source="folder", root=str(made.absolute()), classes=classes, tile=SIDE, crops=1)


def windows(root: Path, made: Path) -> None:
    """Cut one window of each image, every other one around a foreground pixel; the same ones each time."""
    for split, count in COUNTS.items():
        if (made / split / "masks").exists() and len(list((made / split / "masks").iterdir())) == count:
            continue
        for kind in ("images", "masks"):
            (made / split / kind).mkdir(parents=True, exist_ok=True)
        pairs = sorted((root / split / "images").iterdir())
        for index, image in zip(range(count), itertools.cycle(pairs)):
            mask = next((root / split / "masks").glob(f"{image.stem}.*"))
            dice = random.Random(f"{split}/{index}")
            box = window(np.asarray(Image.open(mask)), dice, around=index % 2 == 0)
            Image.open(image).crop(box).save(made / split / "images" / f"{index:03d}.png")
            Image.open(mask).crop(box).save(made / split / "masks" / f"{index:03d}.png")


def window(mask: np.ndarray, dice: random.Random, around: bool) -> tuple[int, int, int, int]:
    """Where a window lies: anywhere, or around one of the foreground's pixels."""
    height, width = mask.shape
    top, left = dice.randint(0, height - SIDE), dice.randint(0, width - SIDE)
    rows, columns = np.nonzero(mask == 1)
    if around and len(rows):
        at = dice.randrange(len(rows))
        top = min(max(0, int(rows[at]) - dice.randrange(SIDE)), height - SIDE)
        left = min(max(0, int(columns[at]) - dice.randrange(SIDE)), width - SIDE)
    return left, top, left + SIDE, top + SIDE


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", choices=CLASSES, default="scenes")
    parser.add_argument("--root", type=Path, help="a folder with train, val and test; scenes need none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--output", type=Path, default=CURVES)
    return parser.parse_args()


if __name__ == "__main__":
    main()
