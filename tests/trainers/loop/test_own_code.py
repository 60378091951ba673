"""A user's own model, loss, guard or metric that was edited: what was trained before is not gone on from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.own_code import CodeChanged, own_parts, with_code
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrialPlan
from lossweep.trainers.source_code import source_digest

SMALL = """
import torch

def model(in_channels, classes):
    return torch.nn.Conv2d(in_channels, classes, 3, padding=1)
"""
LOSS = """
def loss():
    return lambda logits, target: logits.square().mean() * 1.0
"""
METRIC = """
def metric(images):
    return float(sum(prediction.sum() for _, prediction in images)) * 0.0 + 1.0
"""
GUARD = """
from dataclasses import dataclass

from pydantic import BaseModel

from lossweep.trainers.guards import Rule


class Spec(BaseModel):
    most: float = 1.0


@dataclass
class State:
    seen: int = 0


class Guard(Rule[Spec, State]):
    spec_type = Spec
    state_type = State

    def on_evaluation(self, evaluation, positives):
        self.state.seen += 1
"""
Edit = Callable[[str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Writes a module and forgets the one that was imported, as a new process has."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)

    for name, source in (("oc_model", SMALL), ("oc_loss", LOSS), ("oc_metric", METRIC), ("oc_guard", GUARD)):
        write(name, source)
    return write


@pytest.fixture
def plan(plan_of: Any) -> TrialPlan:
    made: TrialPlan = plan_of(
        "cross_entropy @1e-2 x1 -> oc_loss:loss @1e-2 x2",
        3,
        model=ModelSpec(architecture="oc_model:model"),
        guards=GuardSpec.model_validate({"oc_guard:Guard": {}}),
        measure=MeasureSpec(own=("oc_metric:metric:minimize",)),
    )
    return made


def trained_now(plan: TrialPlan, data: SegmentationData, store: CheckpointStore) -> int:
    """Train a trial as another one; return how many of its epochs were trained anew."""
    return sum(one.seconds > 0.0 for one in train(replace(plan, number=plan.number + 1), data, store))


def test_the_users_own_parts_of_a_plan_are_known(plan: TrialPlan, edit: Edit) -> None:
    assert own_parts(plan) == ("oc_model:model", "oc_guard:Guard", "oc_metric:metric", "oc_loss:loss")
    assert with_code(plan).code == {path: source_digest(path) for path in own_parts(plan)}


@pytest.mark.parametrize(
    ("name", "source", "anew"),
    [
        ("oc_model", SMALL.replace("padding=1", "padding=1, bias=True"), 3),
        ("oc_guard", GUARD.replace("+= 1", "+= 2"), 3),
        ("oc_metric", METRIC.replace("+ 1.0", "+ 2.0"), 3),
        ("oc_loss", LOSS.replace("1.0", "2.0"), 2),  # the first phase trained with another loss
        ("oc_loss", f"# a comment\n{LOSS}", 0),
    ],
)
def test_what_was_edited_is_trained_anew(
    name: str,
    source: str,
    anew: int,
    plan: TrialPlan,
    edit: Edit,
    scenes: SegmentationData,
    tmp_path: Path,
) -> None:
    store = CheckpointStore(tmp_path / "store")
    list(train(plan, scenes, store))
    edit(name, source)
    assert trained_now(plan, scenes, store) == anew


def test_what_this_process_imported_counts_not_the_file_of_now(
    plan: TrialPlan, edit: Edit, scenes: SegmentationData, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "store")
    list(train(plan, scenes, store))
    (tmp_path / "oc_loss.py").write_text(LOSS.replace("1.0", "2.0"))
    assert trained_now(plan, scenes, store) == 0


def test_weights_are_found_by_the_code_that_was_recorded_unless_the_model_is_another(
    plan: TrialPlan, edit: Edit, scenes: SegmentationData, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "store")
    *_, last = train(plan, scenes, store)
    recorded = with_code(plan)
    edit("oc_loss", LOSS.replace("1.0", "2.0"))
    assert trained_model(plan, scenes, store, last.step) is None
    assert trained_model(recorded, scenes, store, last.step) is not None
    edit("oc_model", SMALL.replace("padding=1", "padding=1, bias=True"))
    assert trained_model(recorded, scenes, store, last.step) is None


def test_a_trial_is_not_trained_by_other_code_than_it_was_planned_for(
    plan: TrialPlan, edit: Edit, scenes: SegmentationData
) -> None:
    planned = with_code(plan)
    edit("oc_loss", LOSS.replace("1.0", "2.0"))
    with pytest.raises(CodeChanged, match=r"has changed since .*oc_loss:loss.*resume the sweep"):
        next(train(planned, scenes))
    # Of a trial that was recorded before digests were, nothing is known.
    before: Mapping[str, str] = {}
    assert with_code(replace(plan, code=before)).code == {}


def test_without_own_parts_checkpoints_are_found_by_what_they_were_found_by_before(plan_of: Any) -> None:
    from lossweep.spaces.schedules.common_prefix import identity
    from lossweep.trainers.loop.prefix import context_key

    plain: TrialPlan = plan_of("cross_entropy @1e-2 x1", 1)
    assert context_key(with_code(plain)) == context_key(plain)
    phase = plain.schedule.phases[0]
    assert identity(phase, {"oc_loss:loss": "abc"}) == identity(phase)
