"""The layers hold: each package imports only those below it, as pyproject.toml's contracts say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_import_contracts_are_kept() -> None:
    call = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    check = [sys.executable, "-c", call]
    run = subprocess.run([*check, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_plain_data_imports_without_the_heavy_libraries() -> None:
    """What a sweep file is read into loads in a moment: torch, Ray, MLflow and Optuna stay outside."""
    rooms = [
        "lossweep.spaces.proposing.schedule_space",
        "lossweep.spaces.schedules.controls",
        "lossweep.trainers.plan",
        "lossweep.trainers.evaluation",
    ]
    rooms += ["lossweep.search.sweep_spec"]
    heavy = ["torch", "ray", "mlflow", "segmentation_models_pytorch"]
    code = f"import sys, {', '.join(rooms)}; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
