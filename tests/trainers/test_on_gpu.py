"""Every loss, the cutting of crops and the optimizer on a GPU that need not be there: see `steps_on_gpu`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("steps_on_gpu.py")


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[str, Any]]:
    run = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, cwd=SCRIPT.parents[2], check=False
    )
    assert run.returncode == 0, run.stderr
    return {step["name"]: step for step in json.loads(run.stdout)}


def test_no_step_mixes_devices(steps: dict[str, dict[str, Any]]) -> None:
    assert len(steps) > 40
    assert {name: step["error"] for name, step in steps.items() if step["error"]} == {}


def test_no_step_waits_for_the_device(steps: dict[str, dict[str, Any]]) -> None:
    assert {name: step["waits"] for name, step in steps.items() if step["waits"]} == {}


def test_lovasz_launches_no_more_for_more_images_or_classes(steps: dict[str, dict[str, Any]]) -> None:
    """It once sorted image by image, and in twelve classes launched 9,261 times a step."""
    launched = {name: step["operators"] for name, step in steps.items() if name.startswith("lovasz")}
    assert max(launched.values()) < 300, launched


def test_what_waits_or_mixes_devices_is_seen() -> None:
    bodies = (
        "logits.sum().item()",
        "(logits * torch.tensor(2.0)).sum()",
        "logits + torch.ones(64)",
        "logits[target > 0].sum()",
        "logits.cpu().sum()",
        "logits.new_tensor(2.0)",
        "logits.sum()",
    )
    probe = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import torch
from steps_on_gpu import Step, stand_in, watched
stand_in()
for body in {bodies!r}:
    step = Step(body)
    with watched(step) as counting:
        logits = torch.empty(8, 1, 64, 64, device="gpu")
        target = torch.empty(8, 1, 64, 64, device="gpu", dtype=torch.uint8)
        with counting:
            eval(body)
    print("told" if step.waits or step.error else "silent")
"""
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.split() == ["told"] * 6 + ["silent"]
