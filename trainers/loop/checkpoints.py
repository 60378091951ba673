"""Checkpoints: written whole or not at all, read without running code, shared by prefix."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import torch

from lossweep.spaces.files.errors import LossweepError
from lossweep.trainers.loop.checkpoint_storage import Place, located, write_whole
from lossweep.trainers.loop.prefix import TrainedEpoch, address

MAGIC: Final = b"lossweep-checkpoint/1\n"
SUFFIX: Final = ".checkpoint"
_DIGEST = hashlib.sha256().digest_size
_FULL = (errno.ENOSPC, errno.EDQUOT)


class CheckpointDiskFull(LossweepError):
    """The disk of the checkpoints is full; the checkpoint before is still whole."""


class CheckpointUnreadable(LossweepError):
    """The file is torn, or no checkpoint of this version of lossweep."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A kept checkpoint, its header read and verified, its weights not yet.

    Attributes:
        path: the file.
        history: what was trained up to it, epoch by epoch.
        bytes: size of the file.
        digest: sha256 of the payload.
        offset: where the payload starts.
    """

    path: Place
    history: tuple[TrainedEpoch, ...]
    bytes: int
    digest: str
    offset: int

    @property
    def name(self) -> str:
        """Of what was trained: `trainers.loop.prefix.address`."""
        return address(self.history)

    @classmethod
    def open(cls, path: Place) -> Checkpoint:
        """Read a file's header.

        Raises:
            CheckpointUnreadable: torn or foreign.
            FileNotFoundError: it was deleted meanwhile.
        """
        with path.open("rb") as file:
            total = file.seek(0, os.SEEK_END)
            file.seek(0)
            if file.read(len(MAGIC)) != MAGIC:
                raise CheckpointUnreadable(f"{path} is no checkpoint of this version")
            digest, size = file.read(_DIGEST), int.from_bytes(file.read(8), "big")
            header = file.read(size) if size <= total else b""
            if len(header) != size or hashlib.sha256(header).digest() != digest:
                raise CheckpointUnreadable(f"{path} is torn")
            data = json.loads(header)
            if total != file.tell() + data["payload_bytes"]:
                raise CheckpointUnreadable(f"{path} is torn")
            history = tuple(TrainedEpoch.from_dict(epoch) for epoch in data["history"])
            return cls(path, history, total, data["payload_sha256"], file.tell())

    def state(self) -> dict[str, Any]:
        """Read the weights and everything else that was saved, onto the CPU.

        Raises:
            CheckpointUnreadable: torn.
            FileNotFoundError: it was deleted meanwhile.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            payload = file.read()
        if hashlib.sha256(payload).hexdigest() != self.digest:
            raise CheckpointUnreadable(f"{self.path} is torn")
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch makes of what is no checkpoint
            raise CheckpointUnreadable(f"{self.path} holds no state: {error}") from error
        return state


class CheckpointStore:
    """A folder of checkpoints: a subfolder a context (data, model, settings, seed), a file a trained prefix.

    Files are named by what was trained, so two trials with the same prefix write the same file, and either
    starts from it. Several processes may use one store at once.

    Args:
        folder: where, or an object store's URL; a folder is made on the first save.
    """

    def __init__(self, folder: Place | str) -> None:
        self.folder = located(folder)

    def newest(
        self,
        context: str,
        fits: Callable[[Sequence[TrainedEpoch]], bool],
        among: Collection[str] | None = None,
    ) -> tuple[Checkpoint, dict[str, Any]] | None:
        """Return the checkpoint of most epochs that fits and is whole, with its state.

        Torn and foreign files are passed over, so that the one before is used.

        Args:
            context: of the training.
            fits: whether what was trained is wanted.
            among: the only addresses that could fit: no other file is opened. None for all.
        """
        for checkpoint in self._of(context, among):
            if fits(checkpoint.history):
                with suppress(CheckpointUnreadable, FileNotFoundError):
                    return checkpoint, checkpoint.state()
        return None

    def save(self, context: str, history: Sequence[TrainedEpoch], state: Mapping[str, Any]) -> Place:
        """Write a checkpoint: there is never half of one; see `trainers.loop.checkpoint_storage.write_whole`.

        Raises:
            CheckpointDiskFull: nothing of it is left on the disk.
            CheckpointStorageAway: an object store refuses, or has been away for too long.
        """
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getbuffer()
        header = json.dumps(
            {
                "history": [epoch.to_dict() for epoch in history],
                "payload_bytes": len(payload),
                "payload_sha256": hashlib.sha256(payload).hexdigest(),
            }
        ).encode()
        path = self._path(context, history)
        prologue = MAGIC + hashlib.sha256(header).digest() + len(header).to_bytes(8, "big") + header
        try:
            write_whole(path, prologue, payload)
        except OSError as error:
            if error.errno in _FULL:
                size = f"{len(payload) / 2**20:.0f} MiB"
                message = f"the disk of {self.folder} has no room for a checkpoint of {size}"
                raise CheckpointDiskFull(f"{message}; free some, or delete checkpoints") from error
            raise
        return path

    def thin(
        self,
        context: str,
        history: Sequence[TrainedEpoch],
        keep: int = 2,
        branches: Collection[int] = (),
    ) -> None:
        """Delete a trial's checkpoints within its phases, but the newest ``keep``; those at phase ends stay.

        A phase's end is where other trials branch off, and where this one's first phase can be judged alone;
        a cycle's end, which a last phase that goes on has too, is where its score may be taken from. They
        branch off within the first phase as well, at ``branches``: where theirs would end.
        """
        inside = [
            epochs
            for epochs, epoch in enumerate(history, 1)
            if epoch.evaluation is not None
            and not (epoch.evaluation.phase_ended or epoch.evaluation.cycle_ended)
            and not (epoch.evaluation.phase == 0 and epochs in branches)
        ]
        newest = {epochs for epochs, epoch in enumerate(history, 1) if epoch.evaluation is not None}
        spared = set(sorted(newest)[-keep:])
        for epochs in inside:
            if epochs not in spared:
                self._path(context, history[:epochs]).unlink(missing_ok=True)

    def list(self) -> tuple[Checkpoint, ...]:
        """Every whole checkpoint of the store, least recently written first."""
        found = []
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            with suppress(CheckpointUnreadable, FileNotFoundError):
                found.append((path.stat().st_mtime_ns, str(path), Checkpoint.open(path)))
        return tuple(checkpoint for *_, checkpoint in sorted(found, key=lambda entry: entry[:2]))

    def gc(self, to_bytes: int, keep: Collection[Place] = ()) -> int:
        """Delete torn files, and then the checkpoints written longest ago, until the store is small enough.

        Args:
            to_bytes: the size to come down to; 0 deletes all that is not kept.
            keep: files that stay, however large.

        Returns:
            The bytes freed.
        """
        files = [path for path in self.folder.glob("*/*") if path.is_file()]
        whole = [checkpoint.path for checkpoint in self.list()]
        sizes = {path: path.stat().st_size for path in files if path.exists()}
        torn = [path for path in sizes if path not in whole]  # half written ones of killed processes, too
        total, freed = sum(sizes.values()), 0
        for path in [*torn, *(path for path in whole if path not in keep)]:
            if path not in torn and total - freed <= to_bytes:
                break
            path.unlink(missing_ok=True)
            freed += sizes.get(path, 0)
        return freed

    def _of(self, context: str, among: Collection[str] | None) -> Iterator[Checkpoint]:
        found: Iterator[Place] = (self.folder / context).glob(f"*{SUFFIX}")
        for path in sorted(found, key=str, reverse=True):
            if among is not None and path.name.removesuffix(SUFFIX).partition("-")[2] not in among:
                continue
            with suppress(CheckpointUnreadable, FileNotFoundError):
                yield Checkpoint.open(path)

    def _path(self, context: str, history: Sequence[TrainedEpoch]) -> Place:
        return self.folder / context / f"{len(history):06d}-{address(history)}{SUFFIX}"
