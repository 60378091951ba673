from __future__ import annotations

import errno
import pickle

import pytest

from lossweep.search.simulation.simulated_trainer import OutOfMemory
from lossweep.search.study.faults import AlikeFailures, Answer, Fault, FaultKind, RetryPolicy, SweepFailed
from lossweep.spaces.files.errors import Problem, UserError

LOST, NODE, AWAY, GONE, FULL, BROKEN, DISK, CHANGED = (
    FaultKind.WORKER_LOST,
    FaultKind.NODE_LOST,
    FaultKind.STORAGE_AWAY,
    FaultKind.DEVICE_LOST,
    FaultKind.OUT_OF_MEMORY,
    FaultKind.EXCEPTION,
    FaultKind.DISK_FULL,
    FaultKind.CODE_CHANGED,
)


@pytest.mark.parametrize(
    ("kind", "earlier", "micro_batch", "answer"),
    [
        (LOST, [], 8, Answer.RESUME),
        (LOST, [LOST], 8, Answer.RESUME),
        (LOST, [LOST, LOST], 8, Answer.FAIL),
        (LOST, [FULL, FULL], 8, Answer.RESUME),
        (LOST, [LOST, NODE, NODE], 8, Answer.RESUME),
        (NODE, [LOST, LOST, *[NODE] * 49], 8, Answer.RESUME),
        (NODE, [NODE] * 50, 8, Answer.FAIL),
        (AWAY, [AWAY] * 3, 8, Answer.PAUSE),
        (FULL, [], 8, Answer.HALVE),
        (FULL, [LOST, LOST], 8, Answer.HALVE),
        (FULL, [FULL], 4, Answer.FAIL),
        (FULL, [], 1, Answer.FAIL),
        (BROKEN, [], 8, Answer.FAIL),
        (DISK, [DISK], 8, Answer.PAUSE),
        (CHANGED, [CHANGED], 8, Answer.PAUSE),
        (GONE, [], 8, Answer.PAUSE),
    ],
)
def test_the_retry_policy(
    kind: FaultKind, earlier: list[FaultKind], micro_batch: int, answer: Answer
) -> None:
    assert RetryPolicy(max_failures=2).answer(Fault(kind, "x"), earlier, micro_batch) is answer


def test_a_micro_batch_is_not_halved_below_what_the_model_can_be_trained_with() -> None:
    policy, full = RetryPolicy(least_micro_batch=3), Fault(FULL, "x")
    assert [policy.answer(full, [], batch) for batch in (8, 7, 6, 5, 3)] == [Answer.HALVE] * 3 + [
        Answer.FAIL
    ] * 2


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("gamma"), BROKEN),
        (UserError("no such folder"), BROKEN),
        (OutOfMemory("full"), FULL),
        (MemoryError(), FULL),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), FULL),
        (RuntimeError("CUDA error: device-side assert triggered"), GONE),
        (OSError(errno.ENOSPC, "No space left on device"), DISK),
        (OSError(errno.EACCES, "Permission denied"), BROKEN),
    ],
)
def test_the_kind_of_an_exception(error: Exception, kind: FaultKind) -> None:
    fault = Fault.of(_raised(error))
    assert fault.kind is kind
    assert type(error).__name__ in fault.message
    assert "test_faults.py" in fault.traceback


def test_the_trainers_own_errors_are_known() -> None:
    from lossweep.trainers.loop.checkpoints import CheckpointDiskFull
    from lossweep.trainers.own_code import CodeChanged

    cause = OSError(errno.ENOSPC, "No space left on device")
    assert Fault.of(_raised(CheckpointDiskFull("the disk is full"), cause)).kind is DISK
    assert Fault.of(_raised(CodeChanged(Problem("the code has changed")))).kind is CHANGED


def test_first_failures_alike_stop_the_sweep_with_the_first_traceback() -> None:
    watch = AlikeFailures(3)
    for number in range(2):
        watch.ended(Fault(BROKEN, f"ValueError: bad shape {number}", f"traceback {number}"))
    with pytest.raises(SweepFailed) as caught:
        watch.ended(Fault(BROKEN, "ValueError: bad shape 17", "traceback 17"))
    assert caught.value.traceback == "traceback 0"
    assert str(caught.value).count("traceback 0") == 1
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again.traceback) == (caught.value.message, caught.value.traceback)
    assert caught.value.exit_code == 1


def test_three_alike_are_enough_and_more_of_a_group_are_no_more_told() -> None:
    watch, failure = AlikeFailures(), Fault(BROKEN, "ValueError: bad shape 1")
    watch.ended(failure, "controls")
    watch.ended(failure, "proposals")
    with pytest.raises(SweepFailed, match="the first 3 trials failed alike"):
        watch.ended(failure, "proposals")
    with pytest.raises(SweepFailed, match="the first 3 proposals failed alike"):
        watch.ended(failure, "proposals")
    watch.ended(failure, "proposals")


@pytest.mark.parametrize(
    "second", [None, Fault(BROKEN, "TypeError: other"), Fault(FULL, "ValueError: bad shape 3")]
)
def test_one_trial_that_ends_otherwise_is_enough(second: Fault | None) -> None:
    watch = AlikeFailures(2)
    watch.ended(Fault(BROKEN, "ValueError: bad shape 3"))
    watch.ended(second)
    for _ in range(5):
        watch.ended(Fault(BROKEN, "ValueError: bad shape 3"))


def test_groups_are_watched_apart() -> None:
    watch = AlikeFailures(2)
    watch.ended(None, "controls")
    watch.ended(Fault(BROKEN, "ValueError: bad shape"), "proposals")
    watch.ended(Fault(BROKEN, "ValueError: bad shape"), "controls")
    with pytest.raises(SweepFailed, match="the first 2 proposals failed alike: ValueError"):
        watch.ended(Fault(BROKEN, "ValueError: bad shape"), "proposals")
