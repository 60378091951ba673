"""Written whole or not at all; torn, foreign and hostile files are passed over."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import resource
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import (
    MAGIC,
    Checkpoint,
    CheckpointDiskFull,
    CheckpointStore,
    CheckpointUnreadable,
)
from lossweep.trainers.loop.prefix import TrainedEpoch, address
from tests.dying import die_at, run_until_killed


def epoch(index: int, evaluated: bool = True, phase_ended: bool = False) -> TrainedEpoch:
    evaluation = Evaluation(
        step=index + 1,
        epoch=index + 1,
        epochs=9,
        phase=0,
        cycle=0,
        loss_name="jaccard",
        learning_rate=1e-3,
        metrics={"ap": 0.5},
        phase_ended=phase_ended,
    )
    return TrainedEpoch('{"loss":"jaccard"}', index, evaluation if evaluated else None, 0)


def history(length: int) -> tuple[TrainedEpoch, ...]:
    return tuple(epoch(index) for index in range(length))


STATE = {"model": {"weight": torch.arange(6.0).reshape(2, 3)}, "guards": {"window": [1.0, 2.0], "best": None}}


def always(_: object) -> bool:
    return True


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "deep" / "folder")
    path = store.save("context", history(2), STATE)
    assert path.is_relative_to(store.folder / "context")
    found = store.newest("context", always)
    assert found is not None
    checkpoint, state = found
    assert checkpoint.history == history(2)
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
    assert state["guards"] == STATE["guards"]
    assert store.newest("another", always) is None


def test_the_newest_that_fits_is_found(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for length in (1, 3, 2):
        store.save("context", history(length), STATE)
    found = store.newest("context", lambda past: len(past) < 3)
    assert found is not None
    assert len(found[0].history) == 2


@settings(max_examples=60)
@given(data=st.data())
def test_a_truncated_file_is_recognised_and_the_one_before_it_used(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    store.save("context", history(1), STATE)
    newest = store.save("context", history(2), STATE)
    content = newest.read_bytes()
    newest.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    found = store.newest("context", always)
    assert found is not None
    assert len(found[0].history) == 1


@settings(max_examples=60)
@given(data=st.data())
def test_any_changed_byte_is_recognised(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    path = store.save("context", history(1), STATE)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert store.newest("context", always) is None


@settings(max_examples=40)
@given(content=st.binary(max_size=200), magic=st.booleans())
def test_a_foreign_file_is_passed_over(
    content: bytes, magic: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    path = store.save("context", history(1), STATE)
    path.write_bytes(MAGIC * magic + content)
    assert store.newest("context", always) is None
    with pytest.raises(CheckpointUnreadable):
        Checkpoint.open(path)


class Hostile:
    """Unpickled carelessly, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("writer", [torch.save, pickle.dump], ids=["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(writer: object, tmp_path: Path) -> None:
    store, trap = CheckpointStore(tmp_path / "store"), tmp_path / "trap"
    path = store.save("context", history(1), STATE)
    buffer = io.BytesIO()
    writer({"model": Hostile(trap)}, buffer)  # type: ignore[operator]  # one of two functions
    payload = buffer.getvalue()
    header = json.dumps(
        {
            "history": [each.to_dict() for each in history(1)],
            "payload_bytes": len(payload),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
        }
    ).encode()
    path.write_bytes(
        MAGIC + hashlib.sha256(header).digest() + len(header).to_bytes(8, "big") + header + payload
    )
    assert Checkpoint.open(path).history == history(1), "the file itself is whole"
    assert store.newest("context", always) is None
    assert not trap.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so_and_leaves_nothing_half(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path)
    before = store.save("context", history(1), STATE)

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointDiskFull, match="no room for a checkpoint"):
        store.save("context", history(2), STATE)
    assert list(before.parent.iterdir()) == [before]


def test_another_disk_error_is_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="broken"):
        CheckpointStore(tmp_path).save("context", history(1), STATE)


def test_a_writer_that_was_killed_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path)
    store.save("context", history(1), STATE)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store.save("context", history(2), STATE)
    found = store.newest("context", always)
    assert found is not None
    assert len(found[0].history) == 1


def write_until_killed(folder: Path, room: int | None) -> None:
    """In a process of its own: save, and be killed by the system with the first byte past the room.

    Without a limit the process kills itself where the file is whole and not yet in its place.
    """
    if room is None:
        die_at(Path, "replace", 1, "before")
    else:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    CheckpointStore(folder).save("context", history(2), {"model": {"weight": torch.ones(9, 9)}})


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 1.0])
def test_a_writer_killed_for_real_leaves_the_same_checkpoint_of_before_whole(
    share: float, tmp_path: Path
) -> None:
    """Another trial with this prefix may be reading the file of the same name."""
    store = CheckpointStore(tmp_path)
    before = store.save("context", history(2), STATE)
    room = None if share == 1.0 else int(share * before.stat().st_size)
    by = signal.SIGKILL if room is None else signal.SIGXFSZ
    run_until_killed(write_until_killed, tmp_path, room, by=by)
    found = store.newest("context", always)
    assert found is not None
    assert torch.equal(found[1]["model"]["weight"], STATE["model"]["weight"])
    assert [checkpoint.path for checkpoint in store.list()] == [before]
    size = before.stat().st_size
    store.gc(to_bytes=size, keep=[before])
    assert list(before.parent.iterdir()) == [before], "what the killed one left is swept up"


def test_thinning_keeps_the_last_two_and_the_ends_of_phases(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    past = (epoch(0), epoch(1, phase_ended=True), epoch(2), epoch(3, evaluated=False), epoch(4), epoch(5))
    for length in (1, 2, 3, 5, 6):
        store.save("context", past[:length], STATE)
    store.thin("context", past)
    assert sorted(len(checkpoint.history) for checkpoint in store.list()) == [2, 5, 6]


def test_gc_deletes_torn_files_first_and_then_the_oldest(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    paths = [store.save("context", history(length), STATE) for length in (1, 2, 3, 4)]
    for age, path in enumerate(paths):
        os.utime(path, ns=(age, age))
    paths[3].write_bytes(b"torn")
    sizes = [path.stat().st_size for path in paths]
    freed = store.gc(to_bytes=sizes[0] + sizes[2], keep=[paths[0]])
    assert freed == sizes[1] + sizes[3]
    assert [path.exists() for path in paths] == [True, False, True, False]
    store.gc(to_bytes=0)
    assert store.list() == ()


def test_a_trained_epoch_survives_its_header() -> None:
    for trained in (epoch(0), epoch(3, evaluated=False)):
        assert TrainedEpoch.from_dict(json.loads(json.dumps(trained.to_dict()))) == trained


def test_addresses_differ_with_what_was_trained() -> None:
    pasts = [history(1), history(2), (epoch(0, evaluated=False),), (epoch(1),)]
    assert len({address(past) for past in pasts}) == len(pasts)
    labelled = (epoch(0, phase_ended=True),)
    assert address(labelled) == address(history(1)), (
        "how a trial calls its epochs is no part of what was trained"
    )
