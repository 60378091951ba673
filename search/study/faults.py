"""What goes wrong with a trial from outside, and what is done about it: one policy for every runner."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lossweep.spaces.files.errors import LossweepError, UserError
from lossweep.trainers.gpu_errors import is_dead, is_out_of_memory


class FaultKind(StrEnum):
    """The kinds of fault that are told apart. A divergence is none: it is an outcome, and never retried."""

    WORKER_LOST = "worker_lost"
    NODE_LOST = "node_lost"
    """The machine of the worker went away, as a preempted one does: that is no trial's fault."""
    DEVICE_LOST = "device_lost"
    OUT_OF_MEMORY = "out_of_memory"
    EXCEPTION = "exception"
    DISK_FULL = "disk_full"
    STORAGE_AWAY = "storage_away"
    """The object store of the checkpoints refuses, or was away for longer than a trial waits."""
    CODE_CHANGED = "code_changed"
    """The user's own code is not what it was when the driver started."""


class Answer(StrEnum):
    """What is done about a fault."""

    RESUME = "resume"
    """Go on from the newest checkpoint."""
    HALVE = "halve"
    """Go on with half the micro-batch and the same effective batch."""
    FAIL = "fail"
    """The trial FAILs; the sweep goes on."""
    PAUSE = "pause"
    """The sweep stops and can be resumed; nothing recorded is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, as plain data that crosses processes.

    Attributes:
        kind: which.
        message: one line.
        traceback: as text, empty for a lost worker.
    """

    kind: FaultKind
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """Tell the kind of an exception that training raised."""
        text = "".join(traceback.format_exception(error))
        message = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        return cls(_kind_of(error), message, text)


class DeviceLost(LossweepError):
    """A process has lost its GPU: whatever it computes there fails from now on, so that it has to end."""


class SweepFailed(LossweepError):
    """The sweep cannot go on. Printed, it shows the first failed trial's traceback, once.

    Attributes:
        message: one line.
        traceback: of the first failed trial, or empty.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(f"{traceback.rstrip()}\n\n{message}" if traceback else message)
        self.message = message
        self.traceback = traceback

    def __reduce__(self) -> tuple[type[SweepFailed], tuple[str, str]]:
        return type(self), (self.message, self.traceback)


class ClusterLost(LossweepError):
    """The cluster that trials ran on is gone, and what they had in hand with it. The sweep can be resumed."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often what is tried again.

    Attributes:
        max_failures: how often a trial is resumed after its worker was lost on a machine that lives.
        least_micro_batch: images a pass below which the model can't be trained.
        most_nodes: how often it is resumed after its machine went away: a trial that takes every machine down
            with it must end some time.
    """

    max_failures: int = 2
    least_micro_batch: int = 1
    most_nodes: int = 50

    def answer(self, fault: Fault, earlier: Sequence[FaultKind], micro_batch: int) -> Answer:
        """Decide about a trial's newest fault.

        Args:
            fault: the newest.
            earlier: the kinds of the trial's earlier faults, of all drivers.
            micro_batch: images a forward pass when it happened.
        """
        match fault.kind:
            case FaultKind.WORKER_LOST:
                return Answer.RESUME if _count(earlier, fault.kind) < self.max_failures else Answer.FAIL
            case FaultKind.NODE_LOST:
                return Answer.RESUME if _count(earlier, fault.kind) < self.most_nodes else Answer.FAIL
            case FaultKind.OUT_OF_MEMORY:
                again = _count(earlier, fault.kind) == 0 and micro_batch // 2 >= self.least_micro_batch
                return Answer.HALVE if again else Answer.FAIL
            case (
                FaultKind.DISK_FULL | FaultKind.STORAGE_AWAY | FaultKind.CODE_CHANGED | FaultKind.DEVICE_LOST
            ):
                # Where workers are processes, one without its device ends, and is a lost worker.
                return Answer.PAUSE
            case FaultKind.EXCEPTION:
                return Answer.FAIL


class AlikeFailures:
    """Stops a sweep whose first trials all fail in the same way: the mistake is not in the schedules.

    Groups of trials are watched apart, and all together: controls train with losses of our own, so that they
    go well however broken a user's own loss is.
    """

    def __init__(self, first: int = 3) -> None:
        """Watch the ``first`` trials of each group that end."""
        self._first = first
        self._failures: dict[str, list[Fault] | None] = {}

    def ended(self, failure: Fault | None, group: str = "trials") -> None:
        """Take the end of a trial: its failure, or None when it did not fail.

        Args:
            failure: why it failed.
            group: what such trials are called, in the plural.

        Raises:
            SweepFailed: when the first trials all failed alike.
        """
        for watched in dict.fromkeys((group, "trials")):  # of a small sweep no group may be as large
            self._take(failure, watched)

    def _take(self, failure: Fault | None, group: str) -> None:
        alike = self._failures.setdefault(group, [])
        if alike is None:
            return
        if failure is None or (alike and _signature(failure) != _signature(alike[0])):
            self._failures[group] = None
            return
        alike.append(failure)
        if len(alike) == self._first:
            self._failures[group] = None
            head = alike[0]
            trials = group.removesuffix("s") if self._first == 1 else f"{self._first} {group}"
            raise SweepFailed(f"the first {trials} failed alike: {head.message}", head.traceback)


def _count(kinds: Sequence[FaultKind], kind: FaultKind) -> int:
    return sum(one == kind for one in kinds)


def _signature(fault: Fault) -> str:
    return f"{fault.kind}: {re.sub(r'0x[0-9a-f]+|[0-9.]+', '#', fault.message)}"


def _kind_of(error: BaseException) -> FaultKind:
    # By name: the trainer's own errors are defined where torch is imported.
    names = {one.__name__ for one in type(error).__mro__}
    if "CodeChanged" in names:
        return FaultKind.CODE_CHANGED
    if "CheckpointStorageAway" in names:
        return FaultKind.STORAGE_AWAY
    if isinstance(error, UserError):
        return FaultKind.EXCEPTION
    if "OutOfMemory" in names or is_out_of_memory(error):
        return FaultKind.OUT_OF_MEMORY
    if is_dead(error):
        return FaultKind.DEVICE_LOST
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error) or "PytorchStreamWriter failed writing" in str(error):
        return FaultKind.DISK_FULL
    if error.__cause__ is not None:
        return _kind_of(error.__cause__)
    return FaultKind.EXCEPTION
