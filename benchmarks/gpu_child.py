"""A process of its own for `gpu`: holds to a share, fills it, loses it, trains beside others; prints JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import torch
from gpu_right import first_steps
from gpu_setting import Setting, loaded

from lossweep.trainers.gpu import hold_to_share
from lossweep.trainers.gpu_errors import is_dead, is_out_of_memory
from lossweep.trainers.pace import pace


def context(_: int) -> dict[str, Any]:
    """What a process takes of the GPU, alone, when it has done little: NVML counts what CUDA itself took."""
    import subprocess

    def used() -> int:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])

    before = used()
    side = torch.ones(64, 64, device="cuda")
    torch.nn.functional.conv2d(side[None, None], side[None, None, :3, :3]).sum().item()
    (side @ side).sum().item()
    return {"context": used() - before - torch.cuda.memory_reserved() // 2**20}


def fill(_: int) -> dict[str, Any]:
    """Fill the GPU but for some hundred MiB, and say so; until killed."""
    hoard = []
    for size in (2**30, 2**26):
        try:
            while True:
                hoard.append(torch.zeros(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            continue
    free = torch.cuda.mem_get_info()[0]
    print(
        f"{torch.cuda.memory_reserved() / 2**30:.1f} GiB are taken, {free / 2**20:.0f} MiB free", flush=True
    )
    time.sleep(120.0)
    return {}


def starve(_: int) -> dict[str, Any]:
    """Start on a GPU that is full: make a context, convolve, multiply; which exceptions are met."""
    told: dict[str, Any] = {}
    side: torch.Tensor | None = None

    def begin() -> None:
        nonlocal side
        side = torch.ones(2048, 2048, device="cuda")

    def convolve() -> None:
        assert side is not None
        torch.nn.functional.conv2d(
            side.expand(1, 32, 2048, 2048), side.expand(32, 32, 2048, 2048)[..., :3, :3]
        )

    def multiply() -> None:
        assert side is not None
        (side @ side).sum().item()

    for name, work in (("context", begin), ("convolution", convolve), ("product", multiply)):
        try:
            work()
            told[name] = "no error"
        except Exception as error:
            told[name] = f"`{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}`"
            told[f"{name}_known"] = is_out_of_memory(error)
    return told


def share(index: int) -> dict[str, Any]:
    """Hold to a quarter; the first process asks for more than its share, while the others train."""
    hold_to_share(0.25)
    torch.zeros(1, device="cuda")
    told: dict[str, Any] = {}
    if index == 0:
        try:
            hoard = [torch.zeros(2**30, dtype=torch.uint8, device="cuda") for _ in range(10_000)]
            told["error"] = f"nothing, {len(hoard)} GiB"
        except Exception as error:
            told |= {"error": type(error).__name__, "known": is_out_of_memory(error)}
        return told
    first_steps(Setting.of(False), 20)
    return {**told, "steps": 60}


def lose(_: int) -> dict[str, Any]:
    """Trip a device assert, and see what the call after it says."""
    told: dict[str, Any] = {}
    for name in ("error", "after"):
        try:
            torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")].sum().item()
        except Exception as error:
            told[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            told["known" if name == "error" else "after_known"] = is_dead(error)
    return told


def trains(_: int) -> dict[str, Any]:
    """Train a few steps."""
    first_steps(Setting.of(False), 10)
    return {"steps": 30}


def beside(count: int) -> dict[str, Any]:
    """Train among so many as a sweep's trials do, held to a share; begins when it is told to on stdin."""
    setting = Setting.of(not torch.cuda.is_available())
    size = setting.small_batch
    spec = setting.scenes(setting.steps * size)
    plan = setting.plan("cross_entropy @1e-3 x3", 3, size, spec)

    def begin() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    rate, memory = pace(plan, loaded(spec), 1 / count, 4.0 if setting.on_gpu else 1.0, begin)
    return {"rate": rate, "memory": memory // 2**20}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    kinds = {
        "context": context,
        "share": share,
        "fill": fill,
        "starve": starve,
        "assert": lose,
        "trains": trains,
        "beside": beside,
    }
    print(json.dumps(kinds[sys.argv[1]](int(sys.argv[2]))))
