"""A sweep on a private cluster that loses its parts, whose driver has secrets and a long TMPDIR."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import psutil
import pytest
from small_sweeps import PRIOR, spec, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.stopping import StopRequest
from lossweep.search.running.task import TrainingTask
from lossweep.search.running.tune.calls import Call, Job
from lossweep.search.running.tune.ray_process import RayProcess, _Started
from lossweep.search.running.tune.runner import IN_SUCCESSION, TuneRunner
from lossweep.search.running.tune.session import processes_of
from lossweep.search.running.tune.temporary import LONGEST, folder_for_sockets
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.training_log import TrainingLog, trained
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.faults import ClusterLost
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan
from tests.search.running.tune.ray_processes import gone, host_of, part_of
from tests.search.sweeps import conductor

SECRET = "s3cr3t-of-the-driver"
OF_THE_DRIVER = {
    "LOSSWEEP_DATABASE": f"postgresql://me:{SECRET}@db.example/sweeps",
    "MLFLOW_TRACKING_URI": f"http://me:{SECRET}@mlflow.example",
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "PGPASSWORD": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "RAY_AUTH_TOKEN": SECRET,  # of another cluster than the one that is started here
    "SOMEBODYS_URL": f"https://{SECRET}@example",
}
OTHERS = {"MY_DATA": "/data/roads", "MY_API_KEY": "passed on, as the sweep file says"}


@dataclass(frozen=True, slots=True)
class Spy:
    """A user's code: it notes the environment of every process around it, and then trains."""

    folder: Path
    driver: int
    inner: PlantedTrainer

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        around = {os.getpid(), *processes_of(os.getsid(0))}
        for process in psutil.Process().parents():
            if process.pid == self.driver:
                break
            around.add(process.pid)
        seen = [dict(os.environ)]
        for pid in around:
            text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
            seen.append(dict(pair.partition("=")[::2] for pair in text.split("\0") if pair))
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{plan.number}.json").write_text(json.dumps(seen))
        yield from self.inner.trial(plan)


class KillParts:
    """A listener that kills a part of the private cluster at some evaluations."""

    def __init__(self, at: dict[int, str]) -> None:
        self.sessions: set[int] = set()
        self.folders: set[Path] = set()
        self._at, self._seen = at, 0

    def handle(self, event: Event) -> None:
        self._seen += isinstance(event, TrialEvaluated)
        running = host_of(os.getpid())
        with contextlib.suppress(psutil.Error, IndexError):  # it may end meanwhile: its part was killed
            if running is not None:
                self.folders.add(Path(running.cmdline()[-1]))
                self.sessions.add(running.pid)
        if self._seen in self._at:
            part = part_of(os.getpid(), self._at.pop(self._seen))
            assert part is not None
            part.kill()

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Swept:
    history: SweepHistory
    root: Path
    parts: KillParts
    said: list[str]


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A sweep whose raylet is killed early, and whose GCS later."""
    root = tmp_path_factory.mktemp("swept")
    long = root / ("t" * (78 - len(str(root))) + "tmp")
    long.mkdir()
    parts, log = KillParts({3: "raylet", 9: "gcs_server"}), _Log()
    logging.getLogger("lossweep.search").addHandler(log)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**OF_THE_DRIVER, **OTHERS, "TMPDIR": str(long)}.items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", None)
        work = Spy(root / "seen", os.getpid(), PlantedTrainer(root / "work", 0.2))
        resources = {"runner": "tune", "parallel": 1, "environment": ["MY_API_KEY"]}
        history = run_sweep(
            spec(trials=3, resources=resources), workspace(root), [parts], task=TrainingTask(work, PRIOR)
        )
    logging.getLogger("lossweep.search").removeHandler(log)
    tempfile.tempdir = None
    return Swept(history, root, parts, log.said)


@pytest.mark.slow
def test_a_sweep_goes_on_with_a_fresh_cluster_when_its_raylet_or_its_gcs_is_killed(swept: Swept) -> None:
    assert swept.history.state == "finished"
    assert swept.history.counts()["completed"] == 3
    assert set(trained(swept.root / "work")) == {(n, e) for n in range(3) for e in range(1, 5)}
    assert TrainingLog(swept.root / "work").trained_needlessly() == []


@pytest.mark.slow
def test_it_says_what_was_lost_and_notes_it_with_each_trial_without_counting_it_against_one(
    swept: Swept,
) -> None:
    log = workspace(swept.root).logs("small") / "ray.log"
    for part, said in zip(("raylet", "gcs_server"), swept.said, strict=True):
        assert said == f"The Ray cluster was lost: Ray's {part} ended (see {log}); a fresh one goes on."
    retries = [d.reason for t in swept.history.trials for d in t.decisions if d.action == "retry"]
    assert {"raylet" in reason for reason in retries} == {True, False}
    ledger = Ledger(workspace(swept.root).database_url)
    attempts = ledger.attempts(ledger.sweep("small").id)
    ledger.close()
    assert {attempt.fault for attempt in attempts} == {None}


@pytest.mark.slow
def test_nothing_of_the_clusters_is_left(swept: Swept) -> None:
    assert len(swept.parts.sessions) == 3
    assert all(not processes_of(session) for session in swept.parts.sessions)
    assert len(swept.parts.folders) == 3
    assert not any(folder.exists() for folder in swept.parts.folders)


@pytest.mark.slow
def test_users_code_finds_no_secret_of_the_drivers_in_any_process_of_the_cluster(swept: Swept) -> None:
    files = list((swept.root / "seen").glob("*.json"))
    assert len(files) == 3
    for file in files:
        seen = json.loads(file.read_text())
        assert len(seen) > 5  # itself, its raylet and GCS, their agents, and what runs Ray
        assert all(SECRET not in value for environment in seen for value in environment.values())
        mine = seen[0]
        assert OTHERS.items() <= mine.items()
        assert mine["OMP_NUM_THREADS"] == "1"


class Losing:
    """A process that loses its cluster again and again."""

    def __init__(self, evaluations: list[int], then: Callable[[], None] = int) -> None:
        self.evaluations = 0
        self._left, self._then = evaluations, then

    def run(self, job: Job, dispatcher: Dispatcher) -> None:
        dispatcher.next()
        if self._left:
            self.evaluations = self._left.pop(0)
            raise ClusterLost("Ray's raylet ended")
        self._then()


def test_clusters_that_are_lost_before_anything_was_evaluated_end_the_sweep(tmp_path: Path) -> None:
    process = Losing([1, 0, 0, 0])
    dispatcher = Dispatcher(conductor(4))
    with pytest.raises(ClusterLost, match=rf"raylet ended .*; so were the {IN_SUCCESSION - 1} before it"):
        TuneRunner(tmp_path, process=process).run(dispatcher, SimulatedTrainer())  # type: ignore[arg-type]
    assert process.evaluations == 0
    assert dispatcher.running == 1
    process = Losing([1, 0, 0, 2, 0, 0])
    TuneRunner(tmp_path, process=process).run(Dispatcher(conductor(4)), SimulatedTrainer())  # type: ignore[arg-type]


def test_a_cluster_that_can_not_be_kept_leaves_the_sweep_interrupted_and_says_so(tmp_path: Path) -> None:
    runner = TuneRunner(tmp_path, process=Losing([0] * IN_SUCCESSION))  # type: ignore[arg-type]
    work = TrainingTask(PlantedTrainer(tmp_path / "work"), PRIOR)
    with pytest.raises(ClusterLost):
        run_sweep(spec(), workspace(tmp_path), task=work, runner=runner)
    ledger = Ledger(workspace(tmp_path).database_url)
    record, history = ledger.sweep("small"), ledger.history("small")
    ledger.close()
    assert record.state == "interrupted"
    assert "the Ray cluster was lost: Ray's raylet ended" in record.note
    assert [trial.outcome.value for trial in history.trials] == ["interrupted"]


def test_a_cluster_that_is_lost_as_the_sweep_stops_is_not_followed_by_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop = StopRequest()
    process = Losing([0, 0])

    def run(job: Job, dispatcher: Dispatcher) -> None:
        stop.set("interrupted by SIGTERM")
        Losing.run(process, job, dispatcher)

    process.run = run  # type: ignore[method-assign]
    dispatcher = Dispatcher(conductor(4), stop=stop)
    TuneRunner(tmp_path, process=process).run(dispatcher, SimulatedTrainer())  # type: ignore[arg-type]
    assert not caplog.records


def test_a_process_that_never_gets_anywhere_is_ended_with_its_session(tmp_path: Path) -> None:
    """Whatever there is at its start: here a trainer that can't be unpickled, so that Ray is up by then."""
    stop = StopRequest()
    stop.set("before anything")
    with RayProcess(None, 1, tmp_path / "ray.log") as process:
        process.run(Job(b"", tmp_path, None, 1.0, 0.0, 30.0), Dispatcher(conductor(2), stop=stop))
        running = host_of(os.getpid())
        assert running is not None
    assert gone(running.pid, within=0.0)


STARTS = """
import sys
from pathlib import Path
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.tune.calls import Job
from lossweep.search.running.tune.ray_process import RayProcess

with RayProcess(None, 1, Path(sys.argv[1])) as process:
    process.run(Job(b"", Path(), None, 1.0, 0.0, 30.0), Dispatcher(None))
"""


@pytest.mark.parametrize("group", [False, True])
def test_a_driver_that_is_killed_while_ray_starts_leaves_nothing(tmp_path: Path, group: bool) -> None:
    driver = subprocess.Popen([sys.executable, "-c", STARTS, str(tmp_path / "log")], start_new_session=True)
    while (running := host_of(driver.pid)) is None:
        assert driver.poll() is None
        time.sleep(0.001)
    folder = Path(running.cmdline()[-1])
    if group:
        os.killpg(driver.pid, signal.SIGKILL)
    else:
        driver.kill()
    driver.wait()
    assert gone(running.pid)
    assert not folder.exists()


def test_what_the_dispatcher_raises_is_no_loss_of_the_cluster(tmp_path: Path) -> None:
    """Though it may look like one: a database that refuses the connection."""
    process = RayProcess(None, 1, tmp_path / "ray.log")
    ours, theirs = Pipe()
    theirs.send(Call("next"))
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    process._started = _Started(sleeping, ours, ours, tmp_path / "sockets")
    process._idle = True
    dispatcher = Dispatcher(conductor(2))

    def refused() -> None:
        raise ConnectionRefusedError("the database")

    dispatcher.next = refused  # type: ignore[method-assign]
    job = Job(b"", tmp_path, None, 1.0, 0.0, 30.0)
    with process, pytest.raises(ConnectionRefusedError):
        process.run(job, dispatcher)
    assert sleeping.returncode == -signal.SIGKILL


def test_the_folder_for_sockets_has_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("t" * 78)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    made = folder_for_sockets()
    made.rmdir()
    assert len(os.fsencode(made.parent)) <= LONGEST
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    made = folder_for_sockets()
    assert made.parent == short
    made.rmdir()
    short.rmdir()
    with pytest.raises(UserError, match="TMPDIR: there is no folder for Ray's sockets") as caught:
        folder_for_sockets([str(long), "/nowhere"])
    assert f"a path of at most {LONGEST} bytes" in str(caught.value)
