"""A disk that real checkpoints fill."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from faults_sweep import NAME, Row, spec, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.sweep_spec import SweepSpec
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.plan import ModelSpec, TrainingSpec


def full_disk() -> Row:
    """Fill a small disk (a tmpfs, where mounting is allowed), then make room and resume."""
    what, trials = "disk of the checkpoints full, real training", 6
    with tempfile.TemporaryDirectory() as folder:
        where = workspace(Path(folder))
        disk = where.checkpoints(NAME)
        disk.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return Row(what, "this machine does not let us mount a tmpfs", ran=False)
        try:
            sweep = _tiny(spec(trials, 3, "inline", pauses=False))
            paused = run_sweep(sweep, where)
            ledger = Ledger(where.database_url)
            note = ledger.sweep(NAME).note
            ledger.close()
            wrong = [] if paused.state == "interrupted" and "no room" in note else [f"{paused.state}: {note}"]
            recorded = {(t.number, e.step) for t in paused.trials for e in t.evaluations}
            subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
            history = run_sweep(sweep, where, resume=True)
            kept = {(t.number, e.step) for t in history.trials for e in t.evaluations}
            if not recorded <= kept:
                wrong.append("recorded evaluations were lost")
            if history.counts()["completed"] != trials:
                wrong.append(f"{history.counts()}")
            said = note.replace(str(where.root), "…")
            result = f"paused after {len(recorded)} evaluations (“{said}”), resumed: {len(kept)}, none lost"
            return Row(what, result, tuple(wrong))
        finally:
            subprocess.run(["umount", str(disk)], check=False)


def _tiny(sweep: SweepSpec) -> SweepSpec:
    options = {"encoder_depth": 3, "decoder_channels": (32, 16, 16)}
    return sweep.model_copy(
        update={
            "model": ModelSpec(architecture="Unet", encoder="tu-test_resnet", options=options),
            "data": ScenesSource(source="scenes", tile=64, train=16, val=8, test=8),
            "training": TrainingSpec(batch=4),
        }
    )
