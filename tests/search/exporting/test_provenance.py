"""What an exported schedule says of where it comes from."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from confirmed_sweeps import TOP_HEAVY, sweep
from scipy import stats
from small_sweeps import spec

from lossweep.search.conducting.plans import plan_of
from lossweep.search.exporting.choice import choose
from lossweep.search.exporting.provenance import confirmed, control_confirmed
from lossweep.search.exporting.setting import setting_of


def test_an_unconfirmed_one_says_how_many_were_tried() -> None:
    history = sweep()
    chosen = choose(history)
    assert confirmed(history, chosen) == {"tried": {"own": 0, "plain": 1, "schedules": 2}}
    assert control_confirmed(history, chosen) == {}


def test_a_confirmed_one_says_what_each_seed_scored_and_the_verdict() -> None:
    history = sweep(TOP_HEAVY)
    chosen = choose(history)
    told = confirmed(history, chosen)
    # By seed the leader has 0.70, 0.70, 0.71, 0.69 and the control 0.49, 0.51, 0.50, 0.50.
    seeds = [1000, 1001, 1002, 1003]
    spread = round(math.sqrt(2 / 3) / 100, 6)
    shared = {"metric": "tuned_f1", "n": 4, "seeds": seeds, "deviation": spread}
    leader = {"role": "leader", "trial": 1, "mean": 0.7, "scores": [0.7, 0.7, 0.71, 0.69]}
    assert told["confirmed"] == {**shared, **leader}
    control = {"role": "control", "trial": 0, "mean": 0.5, "scores": [0.49, 0.51, 0.5, 0.5]}
    assert control_confirmed(history, chosen) == {"confirmed": {**shared, **control}}
    verdict = told["verdict"]
    half = stats.t.ppf(0.975, 3) * 0.01 * math.sqrt(4 / 3) / 2  # of differences 0.21, 0.19, 0.21, 0.19
    assert verdict["interval"] == pytest.approx([0.2 - half, 0.2 + half], abs=1e-6)
    assert verdict["sentence"].startswith("Trial 1 beats the control, plain cross-entropy at 3e-3 constant")
    rest = {key: verdict[key] for key in verdict if key not in ("interval", "sentence", "stands_behind")}
    assert rest == {
        "leader": 1,
        "word": "beats",
        "difference": 0.2,
        "seeds": 4,
        "margin": 0.005,
        "complete": True,
        "reads_before": 0,
    }
    # The leader's own plan, and not the control's or an ablation's.
    assert verdict["stands_behind"] == setting_of(plan_of(spec(), chosen.trial), "sha256:0")
    assert verdict["stands_behind"]["schedule"] == "cross_entropy + 0.5*dice @3e-3 x2 -> jaccard @1e-4 x2"


def test_where_no_verdict_stands_behind_it_the_reason_goes_along() -> None:
    history = sweep(TOP_HEAVY)
    told = confirmed(history, choose(history, number=2))["verdict"]
    assert told["doubt"] == "the verdict on sweep small does not stand behind trial 2"
    assert "stands_behind" not in told
    foreign = replace(history, spec_yaml="objective: {use_case: flying}")
    told = confirmed(foreign, choose(foreign))["verdict"]
    assert told["doubt"] == "another version of lossweep ran sweep small"
