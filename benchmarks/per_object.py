"""Per-object terms against their plain ones: object F1 and recall by size on test, paired over seeds.

On infrared targets of some 80 pixels (SIRST) and on the procedural scenes. Thresholds are tuned on validation
and used on test. All arms of a seed start from the same weights and see the same crops in the same order.
Run::

    OMP_NUM_THREADS=1 python benchmarks/per_object.py ../shared/data/sirst --page docs/benchmarks.md

Every finished (data, arm, seed) is kept in ``--work``: a run that was stopped goes on where it was, and
``--table`` writes the tables of what there is. ``--page`` puts them between the page's two markers.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from real_data import kept, result, spread

from lossweep.search.verdicts.paired import paired
from lossweep.spaces.metrics import SIZES
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.spec import Augmentation, DataSpec, FolderSource, ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.object_sizes import size_thirds
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

FIGURES: Final = {
    "object F1": "tuned_object_f1",
    "object recall": "tuned_object_recall",
    **{f"recall, {size}": f"tuned_object_recall_{size}" for size in SIZES},
    "pixel F1": "tuned_f1",
}
PLAIN: Final = "CE + Jaccard"
ARMS: Final = {
    PLAIN: "cross_entropy + jaccard",
    "CE + Jaccard per object, cells": "cross_entropy + per_object(jaccard)",
    "CE + Jaccard per object, blobs": "cross_entropy + per_object(jaccard, way=blobs)",
}
MODEL: Final = ModelSpec(
    encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": [32, 16, 16]}
)
RATE: Final = 3e-3
BEGIN, END = "<!-- per object -->", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Setting:
    """One data set of the study, and how long its arms train."""

    name: str
    data: DataSpec
    epochs: int


def settings(sirst: Path, epochs: int) -> tuple[Setting, ...]:
    """SIRST as the other benchmark cuts it, and the scenes."""
    biased = Augmentation(foreground_bias=0.5)
    infrared = FolderSource(
        source="folder",
        root=str(sirst.absolute()),
        classes=("background", "target"),
        tile=96,
        crops=1,
        augment=biased,
    )
    scenes = ScenesSource(source="scenes", train=256, val=96, test=192, augment=biased)
    return Setting("sirst", infrared, epochs), Setting("scenes", scenes, epochs)


def plans(setting: Setting, arm: str, seeds: int) -> list[TrialPlan]:
    """One plan a seed: what differs between arms is the loss alone."""
    schedule = LossSchedule.parse(f"{ARMS[arm]} @{RATE:g} x{setting.epochs} cosine")
    return [
        TrialPlan(
            number=0,
            seed=seed,
            schedule=schedule.with_budget(setting.epochs),
            data=setting.data,
            model=MODEL,
            training=TrainingSpec(batch=8, evaluate_every=setting.epochs),
            guards=GuardSpec(),
            measure=MeasureSpec(),
        )
        for seed in range(seeds)
    ]


def table(setting: Setting, data: SegmentationData, found: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    """Means on test, and each arm's paired differences to the plain one with 95 % intervals (Student's t)."""
    (thirds,) = size_thirds(data.train, data.prior, MeasureSpec())
    assert thirds is not None
    shared = sorted(set.intersection(*(set(found.get(arm, {})) for arm in ARMS)))
    lines = [
        f"### On {setting.name}",
        "",
        f"{MODEL.architecture} with {MODEL.encoder} (random weights), {setting.epochs} epochs of "
        f"{data.train.crops} crops of {setting.data.tile} pixels, batch 8, learning rate {RATE:g} along a "
        f"cosine, {len(shared)} paired seeds, foreground-biased crops 0.5; "
        f"{len(data.train)} / {len(data.val)} / {len(data.test)} images. Small: up to {thirds.small} pixels, "
        f"large: above {thirds.middle}. Test split at thresholds from validation; mean ± standard deviation "
        "over seeds, and below the difference to the plain loss, paired, with its 95 % interval.",
        "",
        f"| loss | {' | '.join(FIGURES)} |",
        "| --- " * (len(FIGURES) + 1) + "|",
    ]
    scores = {
        arm: {name: [found[arm][seed]["test"][key] for seed in shared] for name, key in FIGURES.items()}
        for arm in ARMS
    }
    if not shared:
        return [f"### On {setting.name}", "", "No seed was trained with every loss yet."]
    for arm, figures in scores.items():
        lines.append(f"| {arm} | {' | '.join(spread(values) for values in figures.values())} |")
    for arm in ARMS:
        if arm != PLAIN:
            cells = [difference(values, scores[PLAIN][name]) for name, values in scores[arm].items()]
            lines.append(f"| {arm.removeprefix('CE + ')} − plain | {' | '.join(cells)} |")
    return lines


def difference(one: list[float], other: list[float]) -> str:
    """The mean of paired differences with its interval."""
    found = paired(one, other)
    low, high = found.interval()
    return f"{found.mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main() -> None:
    options = arguments()
    parts = []
    for setting in settings(options.sirst, options.epochs):
        data = load_data(setting.data, options.work / "cache")
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for seed in range(options.seeds):  # seed by seed, so that what is stopped is paired
            for arm in ARMS:
                plan = plans(setting, arm, options.seeds)[seed]
                work = options.work / setting.name
                if not options.table or kept(plan, data, work).exists():
                    found.setdefault(arm, {})[seed] = measured = result(plan, data, work)
                    print(f"{setting.name}, {arm}, seed {seed}: {measured['note']}", flush=True)
        parts.append("\n".join(table(setting, data, found)))
    text = "\n\n".join(parts)
    print(text)
    if options.page:
        before, begin, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
        assert END in rest, f"{options.page} has no {BEGIN} with {END} after it"
        after = rest.partition(END)[2]
        options.page.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sirst", type=Path, help="holds {train,val,test}/{images,masks}")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/per-object"), help="cache, checkpoints, results"
    )
    parser.add_argument("--table", action="store_true", help="train nothing, write of what there is")
    parser.add_argument("--page", type=Path, help="a Markdown page to put the tables into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
