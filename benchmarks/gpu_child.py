"""A process of its own for `gpu`: holds to a share of it, loses it, trains beside others; prints JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import torch
from gpu_right import first_steps
from gpu_setting import Setting

from lossweep.trainers.gpu import hold_to_share
from lossweep.trainers.gpu_errors import is_dead, is_out_of_memory


def share(index: int) -> dict[str, Any]:
    """Hold to a quarter; the first process asks for more than its share, while the others train."""
    before = torch.cuda.mem_get_info()[0]
    hold_to_share(0.25)
    torch.zeros(1, device="cuda")
    told: dict[str, Any] = {"context": (before - torch.cuda.mem_get_info()[0]) // 2**20}
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


def beside(others: int) -> dict[str, Any]:
    """Train beside others, all from the same moment on: the argument is that moment, in whole seconds."""
    setting = Setting.of(not torch.cuda.is_available())
    first_steps(setting, 2)
    time.sleep(max(0.0, others - time.time()))
    rate = first_steps(setting, setting.steps)
    peak = torch.cuda.max_memory_reserved() // 2**20 if setting.on_gpu else 0
    return {"rate": rate, "memory": peak, "ended": time.time()}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    kinds = {"share": share, "assert": lose, "trains": trains, "beside": beside}
    print(json.dumps(kinds[sys.argv[1]](int(sys.argv[2]))))
