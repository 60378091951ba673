"""What holds on one NVIDIA GPU, and how fast: one command, whose Markdown is written section by section.

Run ``python benchmarks/gpu.py --minutes 8 --output gpu.md``. Each section runs in a process of its own with
its own limit of time, and its lines are written as they come: a machine that goes away leaves what was done.
``--rehearse`` runs everything small on a CPU and says "no GPU" where one is needed. Needs torch, torchvision,
timm, SciPy, NumPy, Pillow, PyYAML, rich, pydantic, cc3d and segmentation-models-pytorch; neither Ray, Optuna,
MLflow nor SQLAlchemy.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gpu_right
import gpu_speed
import torch
from gpu_setting import Setting


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page.

    Attributes:
        title: its heading.
        lines: yields its Markdown.
        share: of the minutes, at most.
    """

    title: str
    lines: Callable[[Setting], Iterator[str]]
    share: float


SECTIONS: Final = {
    "memory": Section("Memory: shares, a forced lack, neighbours", gpu_right.memory, 0.15),
    "lost": Section("A device assert", gpu_right.lost, 0.10),
    "speed": Section("Images a second", gpu_speed.speed, 0.35),
    "losses": Section("Losses: values, gradients, what waits", gpu_right.losses, 0.25),
    "side_by_side": Section("Trials of batch 8 side by side", gpu_speed.side_by_side, 0.25),
    "resuming": Section("Resuming", gpu_right.resuming, 0.12),
    "resident": Section("Pixels on the GPU and off it", gpu_speed.resident, 0.12),
    "evaluation": Section("Evaluation and checkpoints", gpu_speed.evaluation, 0.15),
    "cost": Section("Losses against SMP's and MONAI's", gpu_speed.cost, 0.12),
}
"""In the order in which they run, the shortest proofs first. Few use their share up."""


def main() -> None:
    options = _arguments()
    if options.section:
        warnings.filterwarnings("ignore")
        for line in SECTIONS[options.section].lines(Setting.of(options.rehearse)):
            print(line, flush=True)
        return
    out = options.output.open("w", encoding="utf-8") if options.output else None

    def write(line: str) -> None:
        print(line, flush=True)
        if out:
            out.write(line + "\n")
            out.flush()
            os.fsync(out.fileno())

    ends = time.monotonic() + 60.0 * options.minutes
    for line in _heading(options):
        write(line)
    failed = False
    for name in options.only or SECTIONS:
        left = ends - time.monotonic()
        if left < 5.0:
            write(f"\n## {SECTIONS[name].title}\n\nNot run: the time was over.")
            failed = True
            continue
        # A CPU has other proportions: a section of a rehearsal may take what is left.
        limit = left if options.rehearse else min(left, 60.0 * options.minutes * SECTIONS[name].share)
        failed |= not _run(name, limit, options, write)
    sys.exit(failed)


def _run(name: str, limit: float, options: argparse.Namespace, write: Callable[[str], None]) -> bool:
    """Run a section in a process of its own; return whether it came to its end."""
    write(f"\n## {SECTIONS[name].title}\n")
    command = [sys.executable, __file__, "--section", name, *(["--rehearse"] if options.rehearse else [])]
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    late = threading.Timer(limit, lambda: os.killpg(process.pid, signal.SIGKILL))
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
    late.start()
    reader.start()
    for line in process.stdout:
        write(line.rstrip("\n"))
    code = process.wait()
    reader.join(5.0)
    in_time = late.is_alive()
    late.cancel()
    seconds = time.monotonic() - began
    if code == 0:
        write(f"\n{seconds:.0f} s.")
    elif not in_time:
        write(f"\nCut off after {seconds:.0f} s.")
    else:
        tail = "".join(errors[-8:]).rstrip()
        write(f"\nEnded with exit code {code} after {seconds:.0f} s:\n\n```\n{tail}\n```")
    return code == 0


def _heading(options: argparse.Namespace) -> Iterator[str]:
    yield "# On a GPU"
    yield ""
    name = "no GPU: a rehearsal, small, on a CPU"
    if torch.cuda.is_available() and not options.rehearse:
        major, minor = torch.cuda.get_device_capability()
        gigabytes = torch.cuda.get_device_properties(0).total_memory / 2**30
        name = f"{torch.cuda.get_device_name()} ({gigabytes:.0f} GiB, compute capability {major}.{minor})"
    yield f"{name}; torch {torch.__version__}, CUDA {torch.version.cuda}, Python {sys.version.split()[0]}."


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="for all sections")
    parser.add_argument("--output", type=Path, help="a Markdown file, written as it goes")
    parser.add_argument("--rehearse", action="store_true", help="everything small, on a CPU")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.rehearse or torch.cuda.is_available()):
        parser.error("there is no GPU here; --rehearse runs everything small on a CPU")
    return options


if __name__ == "__main__":
    main()
