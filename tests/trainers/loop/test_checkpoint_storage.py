"""Checkpoints in an object store: a real one, which goes away and comes back, and refuses."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from lossweep.search.study.faults import Answer, Fault, FaultKind, RetryPolicy
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.loop import object_path
from lossweep.trainers.loop.checkpoint_storage import check_reachable, located
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.object_path import CheckpointStorageAway, ObjectPath
from tests.object_store import ObjectStore
from tests.trainers.loop.test_checkpoints import STATE, always, epoch, history


@pytest.fixture
def server(object_store: ObjectStore) -> ObjectStore:
    return object_store


@pytest.fixture
def url(object_store_url: str) -> str:
    return object_store_url


def test_what_is_saved_is_read_back_in_another_process(url: str) -> None:
    store = CheckpointStore(url)
    assert store.list() == ()
    for length in (1, 3, 2):
        store.save("context", history(length), {**STATE, "length": length})
    assert store.newest("another", always) is None
    elsewhere = pickle.loads(pickle.dumps(store))
    found = elsewhere.newest("context", lambda past: len(past) < 3)
    assert found is not None
    checkpoint, state = found
    assert checkpoint.history == history(2)
    assert state["length"] == 2
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
    script = (
        "import sys\n"
        "from lossweep.trainers.loop.checkpoints import CheckpointStore\n"
        "print(len(CheckpointStore(sys.argv[1]).list()))\n"
    )
    said = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True)
    assert said.stdout == "3\n"


def test_the_bytes_are_those_of_a_folder(url: str, tmp_path: Path) -> None:
    there = CheckpointStore(url).save("context", history(2), STATE)
    here = CheckpointStore(tmp_path).save("context", history(2), STATE)
    with there.open("rb") as one, here.open("rb") as other:
        assert one.read() == other.read()


def test_torn_and_foreign_objects_are_passed_over(url: str) -> None:
    store = CheckpointStore(url)
    store.save("context", history(1), STATE)
    torn = store.save("context", history(2), STATE)
    assert isinstance(torn, ObjectPath)
    with torn.open("rb") as file:
        torn.write(file.read()[:-20])
    found = store.newest("context", always)
    assert found is not None
    assert len(found[0].history) == 1
    size = torn.stat().st_size
    assert store.gc(to_bytes=2**20) == size, "torn ones go first"
    assert not torn.exists()
    assert [len(each.history) for each in store.list()] == [1]


def test_thinning_and_gc_delete_what_they_should(url: str) -> None:
    store = CheckpointStore(url)
    past = (epoch(0), epoch(1, phase_ended=True), epoch(2), epoch(3, evaluated=False), epoch(4), epoch(5))
    paths = {length: store.save("context", past[:length], STATE) for length in (1, 2, 3, 5, 6)}
    store.thin("context", past)
    assert sorted(len(checkpoint.history) for checkpoint in store.list()) == [2, 5, 6]
    assert store.gc(to_bytes=0, keep=[paths[5]]) > 0
    assert [checkpoint.path for checkpoint in store.list()] == [paths[5]]


def test_a_writer_killed_in_mid_upload_leaves_nothing(url: str) -> None:
    """Of an object larger than a part, so that the upload takes several requests."""
    script = (
        "import sys, torch\n"
        "from lossweep.trainers.loop.checkpoint_storage import *\n"
        "place = located(sys.argv[1])\n"
        "print('writing', flush=True)\n"
        "place.write(bytes(200_000_000))\n"
        "print('written', flush=True)\n"
    )
    before = CheckpointStore(url).save("context", history(1), STATE)
    writer = subprocess.Popen(
        [sys.executable, "-c", script, url.replace("?", "/context/000002-x.checkpoint?")],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    time.sleep(0.2)
    writer.send_signal(signal.SIGKILL)
    assert writer.stdout.read() == b"", "it was killed before it was done"
    writer.wait()
    assert [path.name for path in located(url).glob("*/*")] == [before.name]


@pytest.mark.slow
def test_a_store_that_is_away_for_a_moment_is_waited_for(
    url: str, server: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = CheckpointStore(url)
    store.save("context", history(1), STATE)
    server.stop()
    again = threading.Timer(1.0, server.start)
    again.start()
    store.save("context", history(2), STATE)
    again.join()
    assert [len(each.history) for each in store.list()] == [1, 2]
    assert "does not answer; waiting for it" in caplog.text
    assert "answers after" in caplog.text


def test_one_that_stays_away_pauses_the_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: ObjectStore
) -> None:
    monkeypatch.setattr(object_path, "WAIT_AT_MOST_S", 0.5)
    nobody = "s3://checkpoints/x?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1"
    with pytest.raises(CheckpointStorageAway, match=r"s3://checkpoints\) does not answer") as caught:
        CheckpointStore(nobody).save("context", history(1), STATE)
    fault = Fault.of(caught.value)
    assert fault.kind is FaultKind.STORAGE_AWAY
    assert RetryPolicy().answer(fault, (), 4) is Answer.PAUSE


def test_what_is_wrong_is_said_in_plain_words(
    url: str, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_reachable(located(url))
    with pytest.raises(CheckpointStorageAway, match="there is no bucket nowhere"):
        check_reachable(located(server.url("x", bucket="nowhere")))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    object_path.opened.cache_clear()
    with pytest.raises(CheckpointStorageAway, match=r"refuses.*AWS_ACCESS_KEY_ID") as caught:
        check_reachable(located(url))
    assert "another-secret" not in str(caught.value)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    object_path.opened.cache_clear()
    with pytest.raises(CheckpointStorageAway, match="refuses"):
        check_reachable(located(url))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("ftp://host/x", "cannot be kept there"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x?secret_key=abc", "unknown options"),
        ("gs://bucket/x?region=a", "unknown options"),
        ("s3://key:secret@bucket/x", "must not hold a key"),
    ],
)
def test_a_wrong_address_is_named_without_its_secrets(
    wrong: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSWEEP_CHECKPOINTS", wrong)
    with pytest.raises(UserError, match=said) as caught:
        Workspace.at("somewhere")
    assert "abc" not in str(caught.value)
    assert "key:secret" not in str(caught.value)


def test_a_workspace_keeps_checkpoints_and_decoded_images_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Workspace.at(tmp_path)
    assert where.checkpoints("a") == tmp_path / "checkpoints" / "a"
    assert where.cache == tmp_path / "cache"
    monkeypatch.setenv("LOSSWEEP_CHECKPOINTS", "s3://bucket/team?region=eu-west-1")
    monkeypatch.setenv("LOSSWEEP_CACHE", str(tmp_path / "own"))
    where = Workspace.at(tmp_path)
    place = where.checkpoints("a")
    assert str(place) == "s3://bucket/team/a"
    assert isinstance(place, ObjectPath)
    assert place.options == (("region", "eu-west-1"),)
    assert where.cache == tmp_path / "own"
    monkeypatch.setenv("LOSSWEEP_CHECKPOINTS", str(tmp_path / "mounted"))
    assert Workspace.at(tmp_path).checkpoints("a") == tmp_path / "mounted" / "a"
