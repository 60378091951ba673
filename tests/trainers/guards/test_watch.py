"""All guards together: what is remembered survives a checkpoint, and verdicts follow from it alone."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.guards import Guards, Rehearsal, build_guards
from lossweep.trainers.guards.rules.loss_spike import LossSpikeSpec
from lossweep.trainers.guards.spec import GuardSpec

PRIOR = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))
HASTY = GuardSpec.model_validate(
    {
        "non_finite": {"patience": 2, "skipped_patience": 3},
        "all_foreground": {"warm_up": 0},
        "all_background": {"warm_up": 0, "patience": 3},
        "loss_spike": {"window": 10, "warm_up": 5, "patience": 4},
        "stuck_loss": {"warm_up": 2, "patience": 4},
    }
)
"""Rules that fire soon, so that random trials meet all of them."""

Event = tuple[str, tuple[Any, ...]]


def events(seed: int, length: int) -> list[Event]:
    """A trial of steps, evaluations and switches that drifts in and out of every kind of trouble."""
    rng = random.Random(seed)
    trouble, made = "none", list[Event]()
    made.append(("rehearsal", (0.7, 0.0 if rng.random() < 0.1 else 0.5)))
    for step in range(1, length + 1):
        if rng.random() < 0.2:
            trouble = rng.choice(["none", "nan", "skip", "spike", "stuck", "everything", "nothing", "ap"])
        if rng.random() < 0.05:
            made.append(("phase", (step,)))
        loss = {"spike": 9.0, "stuck": 1.0, "nan": math.nan}.get(trouble, 0.5 + 0.1 * rng.random())
        norm = {"stuck": 0.0, "skip": math.inf}.get(trouble, rng.random() + 0.1)
        made.append(("step", (step, loss, norm, trouble == "skip")))
        if rng.random() < 0.4:
            recall = {"everything": 1.0, "nothing": 0.0}.get(trouble, 0.6)
            ap = 0.01 if trouble in ("everything", "nothing", "ap") else 0.4 + 0.1 * rng.random()
            made.append(("evaluation", (step, recall, ap if rng.random() < 0.9 else ap * 1.06)))
    return made


def show(watch: Guards, event: Event) -> GuardVerdict | None:
    kind, values = event
    if kind == "phase":
        watch.phase_started(*values)
        return None
    if kind == "rehearsal":
        return watch.on_rehearsal(Rehearsal(*values))
    if kind == "step":
        return watch.on_step(*values)
    step, recall, ap = values
    metrics = {"recall": recall, "precision": 0.01 if recall == 1.0 else 0.5, "ap": ap}
    return watch.on_evaluation(Evaluation(step, step, 10**6, 0, 0, "", 1e-3, metrics), positives=1000)


def verdicts(watch: Guards, trial: list[Event]) -> list[str]:
    """Every verdict as text, as NaN figures are not equal to themselves; rules go on after one."""
    return [repr(show(watch, event)) for event in trial]


@settings(max_examples=40)
@given(st.integers(0, 2**20), st.integers(0, 200))
def test_a_state_taken_anywhere_gives_the_same_verdicts(seed: int, cut: int) -> None:
    trial = events(seed, 100)
    through = build_guards(HASTY, PRIOR)
    expected = verdicts(through, trial)
    before = build_guards(HASTY, PRIOR)
    head = verdicts(before, trial[:cut])
    state = json.loads(json.dumps(before.state_dict(), allow_nan=False))  # plain data, all of it
    after = build_guards(HASTY, PRIOR)
    after.load_state_dict(state)
    assert head + verdicts(after, trial[cut:]) == expected
    assert after.state_dict() == through.state_dict()


def test_the_random_trials_above_meet_every_rule() -> None:
    met = set()
    for seed in range(60):
        watch = build_guards(HASTY, PRIOR)
        for event in events(seed, 100):
            verdict = show(watch, event)
            met |= {verdict.rule} if verdict else set()
    assert met == set(GuardSpec.model_fields)


def test_taking_the_state_changes_nothing_and_shares_nothing() -> None:
    watch = build_guards(GuardSpec(), PRIOR)
    watch.phase_started(0)
    watch.on_step(1, 0.5, 1.0)
    state = watch.state_dict()
    watch.on_step(2, 0.4, 1.0)
    assert state["rules"]["loss_spike"]["window"] == [0.5]
    other = build_guards(GuardSpec(), PRIOR)
    other.load_state_dict(state)
    other.on_step(2, 0.4, 1.0)
    assert state["rules"]["loss_spike"]["window"] == [0.5]
    assert other.state_dict() == watch.state_dict()


def test_a_rule_switched_off_or_on_since_the_checkpoint() -> None:
    def watched(spec: GuardSpec, state: dict[str, Any]) -> dict[str, Any]:
        watch = build_guards(spec, PRIOR)
        watch.load_state_dict(state)
        return watch.state_dict()

    some, whole = build_guards(GuardSpec(loss_spike=None), PRIOR), build_guards(GuardSpec(), PRIOR)
    for watch in (some, whole):
        watch.phase_started(2)
        for step in range(1, 14):
            assert watch.on_step(step, 1.0, 0.0) is None
    fresh = build_guards(GuardSpec(), PRIOR).state_dict()["rules"]["loss_spike"]
    before = whole.state_dict()
    assert before["rules"]["stuck_loss"] == {"streak": 3}
    assert before["rules"]["loss_spike"]["window"] == [1.0] * 13
    assert watched(GuardSpec(loss_spike=None), before) == some.state_dict(), "the others remember, off is off"
    again = watched(GuardSpec(), some.state_dict())
    assert again == {**before, "rules": {**before["rules"], "loss_spike": fresh}}, "on since starts afresh"


@pytest.mark.parametrize("rule", list(GuardSpec.model_fields))
def test_null_switches_a_rule_off(rule: str) -> None:
    assert rule in build_guards(GuardSpec(), PRIOR).state_dict()["rules"]
    spec = GuardSpec.model_validate({rule: None})
    assert rule not in build_guards(spec, PRIOR).state_dict()["rules"]


def test_thresholds_are_validated() -> None:
    with pytest.raises(ValidationError):
        GuardSpec.model_validate({"loss_spike": {"zz": 3}})
    with pytest.raises(ValidationError):
        GuardSpec.model_validate({"ap_collapse": {"share": 1.5}})
    assert GuardSpec.model_validate({"loss_spike": {"z": 9}}).loss_spike == LossSpikeSpec(z=9.0)


def test_the_documented_defaults_are_the_defaults() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guards.md").read_text(encoding="utf-8")
    block = page.partition("```yaml\n")[2].partition("```")[0]
    documented = yaml.safe_load(block)["guards"]
    assert GuardSpec.model_validate(documented) == GuardSpec()
    assert {rule: set(limits) for rule, limits in documented.items()} == {
        rule: set(limits) for rule, limits in GuardSpec().model_dump().items()
    }


def test_guards_need_no_torch() -> None:
    code = (
        "import sys, lossweep.trainers.guards, lossweep.trainers.guards.spec\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
