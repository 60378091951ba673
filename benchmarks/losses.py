"""Forward and backward of every term against others' implementations, in turns; recompiles counted.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/losses.py --output docs/benchmarks.md
    python benchmarks/losses.py --device cuda

Every implementation gets the same integer masks, ignores 255 where it can, and makes of the masks what it
needs within the time measured; distances and skeletons, which lossweep keeps with the data, are given to all.
On a CPU the time is the process's own (one thread), on a GPU that between two synchronizations.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import losses_of_authors as authors
import monai
import segmentation_models_pytorch as smp
import torch
import torch._dynamo
import torch.nn.functional as F
from monai.losses import DiceCELoss, DiceLoss, FocalLoss, MCCLoss, SoftclDiceLoss, TverskyLoss
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import (
    Boundary,
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    FrequencyWeights,
    Jaccard,
    Loss,
    Lovasz,
    MatthewsCorrelation,
    PerObject,
    SkeletonRecall,
    SoftJaccard,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.trainers.losses import build_loss
from lossweep.trainers.maps.known import maps_of

Step = Callable[[Tensor, Tensor], Tensor]
SHAPES = {2: (8, 1, 256, 256), 12: (4, 12, 256, 256)}
BEGIN, END = "<!-- losses: begin -->", "<!-- losses: end -->"


def both(first: Loss, second: Loss) -> Compound:
    return Compound(sum=(WeightedTerm(loss=first), WeightedTerm(loss=second)))


@dataclass
class Race:
    """One term, ours and theirs, and how much faster ours must be than the faster of theirs."""

    name: str
    ours: Loss
    theirs: dict[str, Step] = field(default_factory=dict)
    target: float = 1 / 1.1


def races(classes: int, maps: authors.Maps) -> list[Race]:
    binary = classes == 2
    mode = "binary" if binary else "multiclass"
    least = 1 / 1.1 if binary else 2.0
    form = {"sigmoid": True} if binary else {"softmax": True, "to_onehot_y": True}
    ignoring = {"ignore_index": 255}
    regional = {**form, **ignoring, "batch": True, "smooth_nr": 1.0, "smooth_dr": 1.0}
    smoothed = {"smooth": 1.0, **ignoring}

    def column(mask: Tensor) -> Tensor:
        return mask[:, None].float() if binary else mask[:, None]

    def of_monai(loss: Callable[[Tensor, Tensor], Tensor]) -> Step:
        return lambda logits, mask: loss(logits, column(mask))

    losses = smp.losses
    if binary:
        bce = losses.SoftBCEWithLogitsLoss(**ignoring)
        plain: Step = lambda logits, mask: bce(logits, mask[:, None].float())  # noqa: E731  (a one-line adapter)
        weighted: dict[str, Step] = {}
    else:
        plain = losses.SoftCrossEntropyLoss(smooth_factor=0.0, **ignoring)
        vector = torch.ones(classes)
        weighted = {
            "torch": lambda logits, mask: F.cross_entropy(
                logits, mask, vector.to(logits.device), ignore_index=255
            )
        }
    return [
        Race("cross_entropy", CrossEntropy(), {"SMP": plain}),
        Race("weighted_ce", WeightedCrossEntropy(weights=(1.0,) * classes), weighted),
        Race(
            "focal",
            Focal(gamma=2.0),
            {
                "SMP": losses.FocalLoss(mode, gamma=2.0, **ignoring),
                "MONAI": of_monai(
                    FocalLoss(gamma=2.0, use_softmax=not binary, to_onehot_y=not binary, **ignoring)
                ),
            },
            least,
        ),
        Race(
            "jaccard",
            Jaccard(),
            {
                "SMP (can't ignore)": losses.JaccardLoss(mode, smooth=1.0),
                "MONAI": of_monai(DiceLoss(jaccard=True, **regional)),
            },
            least,
        ),
        Race(
            "dice",
            Dice(),
            {"SMP": losses.DiceLoss(mode, **smoothed), "MONAI": of_monai(DiceLoss(**regional))},
            least,
        ),
        Race(
            "tversky",
            Tversky(),
            {"SMP": losses.TverskyLoss(mode, **smoothed), "MONAI": of_monai(TverskyLoss(**regional))},
            least,
        ),
        Race(
            "focal_tversky",
            FocalTversky(),
            {"SMP": losses.TverskyLoss(mode, gamma=0.75, **smoothed)},
            least,
        ),
        Race("lovasz", Lovasz(), {"SMP": losses.LovaszLoss(mode, **ignoring)}),
        Race(
            "mcc",
            MatthewsCorrelation(),
            {"MONAI (can't ignore)": of_monai(MCCLoss(**form, batch=True))},
            least,
        ),
        Race("topk_ce", TopKCrossEntropy(), {"nnU-Net": authors.topk}),
        Race("soft_jaccard", SoftJaccard(), {"its authors": authors.soft_jaccard}),
        Race("boundary", Boundary(), {"its authors": authors.boundary(maps)}),
        Race(
            "dice + boundary",
            both(Dice(), Boundary()),
            {"MONAI and its authors": authors.total(of_monai(DiceLoss(**regional)), authors.boundary(maps))},
        ),
        Race(
            "skeleton_recall",
            SkeletonRecall(),
            {
                "its authors": authors.skeleton_recall(maps),
                "soft-clDice of MONAI": of_monai(SoftclDiceLoss(include_background=binary, **form)),
            },
        ),
        Race(
            "cross_entropy + dice",
            both(CrossEntropy(), Dice()),
            {"MONAI (can't ignore)": of_monai(DiceCELoss(**form, batch=True))},
        ),
    ]


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def alternate(
    steps: dict[str, Step], logits: Tensor, mask: Tensor, rounds: int, device: str
) -> dict[str, list[float]]:
    """Seconds of forward and backward of each, taken in turns so that all meet the same disturbances."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            leaf = logits.detach().requires_grad_()
            start = clock(device)
            step(leaf, mask).backward()
            spent = clock(device) - start
            if turn >= 3:
                seconds[name].append(spent)
    return seconds


def ratio(theirs: list[float], ours: list[float]) -> tuple[float, float, float]:
    """Median and quartiles of the ratio, turn by turn."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def spread(figures: tuple[float, float, float]) -> str:
    return f"{figures[0]:.2f} ({figures[1]:.2f}-{figures[2]:.2f})"


def table(classes: int, rounds: int, device: str, ignored: float) -> list[str]:
    torch.manual_seed(0)
    shape = SHAPES[classes]
    logits = 2 * torch.randn(shape, device=device)
    mask = torch.randint(0, classes, (shape[0], *shape[2:]), device=device)
    if ignored:
        mask[torch.rand(mask.shape, device=device) < ignored] = 255
    prior = ClassPrior(names=tuple(map(str, range(classes))), frequencies=(1 / classes,) * classes)

    maps = maps_of(mask, ("signed_distance", "skeletons"), classes)
    maps["signed_distance"] = maps["signed_distance"].float()  # as crops have it

    def built(loss: Loss) -> Step:
        criterion = build_loss(loss, prior).to(device)
        return lambda logits, mask: criterion(logits, mask, maps)

    lines = [
        f"### Logits {shape}, {f'{ignored:.0%} of the pixels' if ignored else 'no pixel'} ignored",
        "",
        "| term | ours, ms | times as fast as: median (quartiles) | needed | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    for race in races(classes, maps):
        turns = max(3, rounds // 5) if race.name == "lovasz" else rounds
        seconds = alternate({"ours": built(race.ours), **race.theirs}, logits, mask, turns, device)
        ours = seconds.pop("ours")
        ratios = {name: ratio(theirs, ours) for name, theirs in seconds.items()}
        versus = "; ".join(f"{name} {spread(figures)}" for name, figures in ratios.items()) or "-"
        met = "yes" if all(figures[0] >= race.target for figures in ratios.values()) else "NO"
        lines.append(
            f"| {race.name} | {1e3 * statistics.median(ours):.2f} | {versus} "
            f"| {race.target:.2f} | {met if ratios else '-'} |"
        )
    parts = {"ce": CrossEntropy(), "jaccard": Jaccard(), "sum": both(CrossEntropy(), Jaccard())}
    seconds = alternate({name: built(loss) for name, loss in parts.items()}, logits, mask, rounds, device)
    dearer = max(("ce", "jaccard"), key=lambda name: statistics.median(seconds[name]))
    figures = ratio(seconds["sum"], seconds[dearer])
    lines.append(
        f"| cross_entropy + jaccard | {1e3 * statistics.median(seconds['sum']):.2f} "
        f"| {spread(figures)} of the cost of {dearer} alone | at most 1.30 "
        f"| {'yes' if figures[0] <= 1.3 else 'NO'} |"
    )
    return [*lines, ""]


def objects_table(rounds: int, device: str) -> list[str]:
    """Per-object terms on masks that show 40 objects each, with their cells and components at hand."""
    torch.manual_seed(0)
    shape = SHAPES[2]
    logits = 2 * torch.randn(shape, device=device)
    mask = torch.zeros((shape[0], *shape[2:]), dtype=torch.int64)
    for image in mask:
        for place in torch.randperm(64)[:40].tolist():
            row, column, side = 32 * (place // 8), 32 * (place % 8), int(torch.randint(2, 25, ()))
            image[row : row + side, column : column + side] = 1
    mask = mask.to(device)
    prior = ClassPrior(names=("0", "1"), frequencies=(0.5, 0.5))
    maps = maps_of(mask, ("components", "cells"), 2)

    def built(loss: Loss) -> Step:
        criterion = build_loss(loss, prior).to(device)
        return lambda logits, mask: criterion(logits, mask, maps)

    lines = [
        f"### Logits {shape}, 40 objects an image",
        "",
        "| term | ours, ms | the plain term, ms | times as fast as its authors' loop: median (quartiles) |",
        "| --- | --- | --- | --- |",
    ]
    plain = {"jaccard": Jaccard(), "cross_entropy": CrossEntropy()}
    for name, inner in plain.items():
        for way in ("cells", "blobs"):
            steps = {"ours": built(PerObject(loss=inner, way=way, reduction="image")), "plain": built(inner)}
            if name == "jaccard":
                numbers = maps["cells" if way == "cells" else "components"][:, 0].long()
                steps["theirs"] = authors.per_object(numbers, all_background=way == "blobs")
            seconds = alternate(steps, logits, mask, max(3, rounds // 5), device)
            versus = spread(ratio(seconds["theirs"], seconds["ours"])) if "theirs" in seconds else "-"
            own, alone = (1e3 * statistics.median(seconds[each]) for each in ("ours", "plain"))
            lines.append(f"| per_object({name}, way={way}) | {own:.2f} | {alone:.2f} | {versus} |")
    return [*lines, ""]


def recompiles(device: str) -> str:
    """Compile a sum of terms once, change every parameter, count what is compiled anew."""
    backend = "inductor"
    prior = ClassPrior(names=("a", "b", "c"), frequencies=(0.7, 0.2, 0.1))
    logits = torch.randn(2, 3, 64, 64, device=device, requires_grad=True)
    mask = torch.randint(0, 3, (2, 64, 64), device=device)
    for backend in ("inductor", "aot_eager"):
        torch._dynamo.reset()
        counter = CompileCounterWithBackend(backend)
        step = torch.compile(lambda loss: loss(logits, mask), backend=counter, fullgraph=True)
        compiled = []
        try:
            for x in (0.2, 0.4, 0.6, 0.8, 1.0):
                terms = (
                    WeightedCrossEntropy(weights=FrequencyWeights(power=x)),
                    Focal(gamma=x, alpha=x / 2),
                    Tversky(alpha=x, beta=1 - x, smooth=x),
                    FocalTversky(gamma=x),
                    MatthewsCorrelation(smooth=x),
                )
                loss = Compound(sum=tuple(WeightedTerm(weight=x, loss=term) for term in terms))
                step(build_loss(loss, prior).to(device)).backward()
                compiled.append(counter.frame_count)
        except Exception as error:  # without a C++ or Triton compiler, say so and fall back
            print(f"torch.compile with {backend} failed: {str(error).splitlines()[0]}")
            continue
        again = compiled[-1] - compiled[0]
        return f"Recompiles over 5 settings of every parameter (torch.compile, {backend}): {again}."
    return "Recompiles: not counted, nothing could be compiled."


def keep_memory() -> None:
    """Have glibc keep freed memory, for all alike: else faulting in fresh pages is most of what is timed."""
    if platform.system() == "Linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def write(output: Path, section: str) -> None:
    """Replace the marked section of a Markdown file, or append it."""
    text = output.read_text() if output.exists() else "# Benchmarks\n"
    block = f"{BEGIN}\n{section}\n{END}"
    if BEGIN in text and END in text:
        text = text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    output.write_text(text)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=60, help="turns of each implementation")
    parser.add_argument("--ignored", type=float, default=0.0, help="share of pixels labelled 255")
    parser.add_argument("--output", type=Path, help="write the section into this Markdown file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    keep_memory()
    machine = torch.cuda.get_device_name() if options.device == "cuda" else f"{processor()}, one thread"
    lines = [
        "## Losses",
        "",
        f"Forward and backward on {machine}; torch {torch.__version__}, SMP {smp.__version__}, "
        f"MONAI {monai.__version__}; float32; {options.rounds} alternating turns. "
        "Ratios above 1: ours is faster.",
        "",
    ]
    for classes in SHAPES:
        lines += table(classes, options.rounds, options.device, options.ignored)
    lines += objects_table(options.rounds, options.device)
    lines.append(recompiles(options.device))
    section = "\n".join(lines)
    print(section)
    if options.output:
        write(options.output, section)


if __name__ == "__main__":
    main()
