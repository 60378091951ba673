"""Drivers that are killed again and again until their sweep is done."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults_driver
from faults_driver import SECTIONS, marks, sweep_result
from faults_sweep import NAME, Row, again, judged, mlflow_wrong, told, workspace

from lossweep.search.running.existing import existing_sweep
from lossweep.search.workspace import Workspace


@dataclass(frozen=True)
class Course:
    """How long a sweep is, and how long its drivers live: up to ``life`` seconds from their first trial."""

    runner: str
    trials: int
    epochs: int = 6
    delay: float = 0.06
    writing: float = 0.03
    life: float = 5.0

    def start(self, where: Workspace) -> subprocess.Popen[bytes]:
        """Start a driver, its marks down but for that of its start."""
        marks(where.root).write_bytes(bytes([1] + [0] * (len(SECTIONS) - 1)))
        settings = (self.runner, self.trials, self.epochs, self.delay, self.writing)
        command = [sys.executable, faults_driver.__file__, where.root, where.database_url, *settings]
        return subprocess.Popen([str(part) for part in command], start_new_session=True)


EACH = 3
"""So many kills have to fall into each section; what chance leaves undone is aimed."""

INLINE = Course("inline", trials=90)
RAY = Course("tune", trials=24, delay=0.4, life=3.0)


def killed_drivers(kills: int, course: Course, url: str | None, what: str) -> Row:
    """SIGKILL drivers at random moments, then in sections that too few fell into, then let one finish."""
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        where = workspace(root, url)
        fell: list[set[str]] = []

        def kill_when(ready: Callable[[], bool]) -> None:
            driver = course.start(where)
            while driver.poll() is None and not ready():
                time.sleep(0.0005)
            if driver.poll() is None:
                driver.kill()
                driver.wait()
                fell.append(sweep_result(root))
            elif driver.returncode:
                raise RuntimeError(f"a driver failed: exit code {driver.returncode}")

        wrong: list[str] = []
        try:
            for _ in range(kills):
                kill_when(_moment(root, dice, course.life))
            aimed = 0
            wanted = [name for name in SECTIONS if name != "its start"]
            if course.runner == "tune":
                wanted.remove("a checkpoint")  # its workers write them
            for section in wanted:
                for _ in range(3 * EACH):
                    if sum(section in one for one in fell) >= EACH:
                        break
                    aimed += 1
                    kill_when(_inside(root, section, dice.randrange(1, 6)))
        except RuntimeError as error:
            return Row(what, f"after {len(fell)} kills", (str(error),))
        if _finished(where):
            wrong.append("the sweep was over before the kills were")
        missed = [section for section in wanted if sum(section in one for one in fell) < EACH]
        wrong += [f"too few kills fell into {section}" for section in missed]
        if course.start(where).wait():
            return Row(what, f"after {len(fell)} kills", ("the last driver failed",))
        history, amiss = judged(where, course.trials, course.epochs)
        wrong += amiss + mlflow_wrong(where, history)
        places = Counter(name for one in fell for name in one or {"none of these"})
        result = (
            f"{len(fell) - aimed} kills at random and {aimed} aimed:"
            f" {', '.join(f'{count} in {name}' for name, count in places.most_common())};"
            f" {told(history)}, MLflow equals the ledger,"
            f" {again(where)} of {history.epochs.trained} epochs trained again, none that was saved"
        )
        return Row(what, result, tuple(wrong))


def _moment(root: Path, dice: random.Random, life: float) -> Callable[[], bool]:
    """A random moment: of a fifth of the drivers, within their start; else after their first trial began."""
    early, after = dice.random() < 0.2, dice.uniform(0.0, life)
    since: list[float] = []

    def come() -> bool:
        if not since and (early or "its start" not in sweep_result(root)):
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] >= after

    return come


def _inside(root: Path, section: str, passing: int) -> Callable[[], bool]:
    """The moment when the driver is seen in a section for the so-manyeth time."""
    was, seen = False, 0

    def come() -> bool:
        nonlocal was, seen
        now = section in sweep_result(root)
        seen += now and not was
        was = now
        return seen >= passing

    return come


def _finished(where: Workspace) -> bool:
    state = existing_sweep(where, NAME)
    return state is not None and state.finished
