"""A trial trains where torch and a few small wheels are: no Ray, Optuna, MLflow or database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lossweep.spaces.losses.terms import KNOWN_TERMS

KNOWN = {term.known_as() for term in KNOWN_TERMS}
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

BARE = """
import sys
absent = "ray optuna mlflow sqlalchemy alembic monai lightning typer jinja2 plotly pandas rasterio psutil"
absent += " skimage tifffile sklearn"
for name in absent.split():
    sys.modules[name] = None  # as if it were not installed
sys.argv = [{script!r}, "--section", {section!r}, "--rehearse"]
sys.path.insert(0, {folder!r})
import runpy
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "line", "times"),
    [("resuming", "| bit for bit |", 4), ("evaluation", "checkpoint written", 1)],
)
def test_the_gpu_benchmark_needs_no_more_than_a_bare_machine_has(section: str, line: str, times: int) -> None:
    script = BARE.format(script=str(BENCHMARKS / "gpu.py"), folder=str(BENCHMARKS), section=section)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(line) == times, run.stdout


def test_every_known_loss_is_proved_on_a_gpu() -> None:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_setting
    finally:
        sys.path.remove(str(BENCHMARKS))
    named = {term for line in gpu_setting.LOSSES for term in KNOWN if term in line}
    assert named == KNOWN
