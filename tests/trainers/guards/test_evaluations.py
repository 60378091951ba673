"""Rules that see evaluations: a table of metric sequences, and the evaluation at which each stops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.guards import Guards, build_guards
from lossweep.trainers.guards.base_rate import NearBaseRate, base_rate, near
from lossweep.trainers.guards.rules.all_background import AllBackgroundSpec
from lossweep.trainers.guards.rules.all_foreground import AllForegroundSpec
from lossweep.trainers.guards.rules.ap_collapse import ApCollapseSpec
from lossweep.trainers.guards.spec import GuardSpec

RARE = ClassPrior(names=("ground", "car"), frequencies=(0.994, 0.006))
COMMON = ClassPrior(names=("ground", "field"), frequencies=(0.6, 0.4))
THREE = ClassPrior(names=("ground", "car", "ship"), frequencies=(0.95, 0.04, 0.01))
STEPS = 250
"""Steps between evaluations: more than any warm-up, unless a case says otherwise."""


def evaluation(number: int, metrics: Mapping[str, float], steps: int = STEPS, phase: int = 0) -> Evaluation:
    return Evaluation(
        step=number * steps,
        epoch=number,
        epochs=100,
        phase=phase,
        cycle=0,
        loss_name="",
        learning_rate=1e-3,
        metrics=metrics,
    )


def figures(recall: float, precision: float, ap: float) -> dict[str, float]:
    return {"recall": recall, "precision": precision, "ap": ap}


def first(
    watch: Guards, sequence: Sequence[Mapping[str, float]], steps: int = STEPS, positives: int | None = None
) -> tuple[int, GuardVerdict] | None:
    """Show evaluations, numbered from 1, and return the number and verdict of the first that stops."""
    for number, metrics in enumerate(sequence, 1):
        verdict = watch.on_evaluation(evaluation(number, metrics, steps), positives)
        if verdict is not None:
            assert verdict.step == number * steps
            return number, verdict
    return None


def check(verdict: tuple[int, GuardVerdict] | None, stops_at: int | None, rule: str) -> None:
    assert (verdict and verdict[0]) == stops_at
    assert verdict is None or verdict[1].rule == rule


EVERYTHING = figures(1.0, 0.006, 0.0061)
NOTHING = figures(0.0, 0.0, 0.0061)
GOOD = figures(0.7, 0.6, 0.65)


@pytest.mark.parametrize(
    ("sequence", "stops_at"),
    [
        pytest.param([EVERYTHING] * 5, 2, id="from the start"),
        pytest.param([GOOD, GOOD, EVERYTHING, EVERYTHING], 4, id="within one evaluation of the collapse"),
        pytest.param([figures(0.94, 0.13, 0.55)] * 9, None, id="weighted CE 1/f"),
        pytest.param([figures(0.999, 0.02, 0.3)] * 9, None, id="very recall-biased but ranks well"),
        pytest.param([figures(1.0, 0.0062, 0.3)] * 9, None, id="everything at 0.5, yet ranks well"),
        pytest.param(
            [figures(0.999, 0.0063, 0.006 * 1.12**i) for i in range(9)],
            None,
            id="Jaccard at 1e-4: AP still rises",
        ),
        pytest.param(
            [figures(0.999, 0.0063, 0.006 * 1.01**i) for i in range(9)],
            2,
            id="AP rises by less than the noise",
        ),
        pytest.param([EVERYTHING, GOOD] * 4, None, id="never twice in a row"),
        pytest.param([figures(0.97, 0.006, 0.006)] * 5, None, id="some background left"),
        pytest.param([NOTHING] * 5, None, id="everything background"),
    ],
)
def test_all_foreground(sequence: list[dict[str, float]], stops_at: int | None) -> None:
    watch = build_guards(GuardSpec(all_background=None, ap_collapse=None), RARE)
    check(first(watch, sequence), stops_at, "all_foreground")


@pytest.mark.parametrize(
    ("sequence", "stops_at"),
    [
        pytest.param([NOTHING] * 5, 2, id="focal alpha .01"),
        pytest.param([GOOD, GOOD, NOTHING, NOTHING], 4, id="within one evaluation of the collapse"),
        pytest.param([figures(0.003, 0.9, 0.3)] * 9, None, id="focal alpha .25: recall .003, tuned F1 .36"),
        pytest.param([figures(0.0, 0.0, 0.2)] * 9, None, id="nothing at 0.5, yet ranks well"),
        pytest.param([figures(0.0, 0.0, 0.006 * 1.1**i) for i in range(9)], None, id="CE early: AP rises"),
        pytest.param([NOTHING, GOOD] * 4, None, id="never twice in a row"),
        pytest.param([EVERYTHING] * 5, None, id="everything foreground"),
    ],
)
def test_all_background(sequence: list[dict[str, float]], stops_at: int | None) -> None:
    watch = build_guards(GuardSpec(all_foreground=None, ap_collapse=None), RARE)
    check(first(watch, sequence), stops_at, "all_background")


def above(value: float) -> float:
    """The next number up."""
    return math.nextafter(value, math.inf)


def under(value: float) -> float:
    """The next number down."""
    return math.nextafter(value, -math.inf)


EIGHTH = ClassPrior(names=("ground", "lake"), frequencies=(0.875, 0.125))
"""Its limits are exact: twice the base rate is 0.25, and so is a lift of 1/7."""
AT_ONCE: dict[str, Any] = {"patience": 1, "warm_up": 0, "lift": 1.0}
LIFTED = {"ratio": 9.0, "lift": 0.5}


@pytest.mark.parametrize(
    ("spec", "seen", "fires"),
    [
        pytest.param({}, figures(0.99, 0.25, 0.25), True, id="at every limit"),
        pytest.param({}, figures(under(0.99), 0.25, 0.25), False, id="recall under it"),
        pytest.param({}, figures(0.99, above(0.25), 0.25), False, id="precision above it"),
        pytest.param({}, figures(0.99, 0.25, above(0.25)), False, id="AP above it"),
        pytest.param({"ratio": 9.0, "lift": 0.5}, figures(1.0, 0.5625, 0.5625), True, id="at the lift"),
        pytest.param(
            {"ratio": 9.0, "lift": 0.5}, figures(1.0, 0.5625, above(0.5625)), False, id="above the lift"
        ),
        pytest.param({"warm_up": 250}, figures(1.0, 0.125, 0.125), True, id="at the warm-up's end"),
        pytest.param({"warm_up": 251}, figures(1.0, 0.125, 0.125), False, id="within the warm-up"),
    ],
)
def test_all_foreground_at_its_limits(spec: dict[str, Any], seen: dict[str, float], fires: bool) -> None:
    limits = AllForegroundSpec(**{**AT_ONCE, **spec})
    watch = build_guards(GuardSpec(all_foreground=limits, all_background=None, ap_collapse=None), EIGHTH)
    check(first(watch, [seen]), 1 if fires else None, "all_foreground")


@pytest.mark.parametrize(
    ("spec", "seen", "fires"),
    [
        pytest.param({}, figures(0.001, 0.9, 0.25), True, id="at every limit"),
        pytest.param({}, figures(above(0.001), 0.9, 0.25), False, id="recall above it"),
        pytest.param({}, figures(0.001, 0.9, above(0.25)), False, id="AP above it"),
        pytest.param({"warm_up": 250}, figures(0.0, 0.0, 0.1), True, id="at the warm-up's end"),
        pytest.param({"warm_up": 251}, figures(0.0, 0.0, 0.1), False, id="within the warm-up"),
    ],
)
def test_all_background_at_its_limits(spec: dict[str, Any], seen: dict[str, float], fires: bool) -> None:
    limits = AllBackgroundSpec(**{**AT_ONCE, **spec})
    watch = build_guards(GuardSpec(all_background=limits, all_foreground=None, ap_collapse=None), EIGHTH)
    check(first(watch, [seen]), 1 if fires else None, "all_background")


def test_a_rise_of_ap_starts_the_row_again() -> None:
    def stops_at(*aps: float) -> int | None:
        limits = AllBackgroundSpec(warm_up=0, patience=3, rise=0.5, lift=1.0)
        watch = build_guards(GuardSpec(all_background=limits, all_foreground=None, ap_collapse=None), EIGHTH)
        verdict = first(watch, [figures(0.0, 0.0, ap) for ap in aps])
        return verdict and verdict[0]

    assert stops_at(0.125, 0.125, 0.1875) == 3, "as much as the rise is not enough"
    # Above it the third is the first of another row, which has to be as long: it is compared with this one.
    assert stops_at(0.125, 0.125, above(0.1875), 0.2) is None
    assert stops_at(0.125, 0.125, above(0.1875), 0.2, 0.2) == 5
    # Compared is the first of the row, whatever came between.
    assert stops_at(0.125, 0.25, 0.1875) == 3
    assert stops_at(0.0625, 0.0625, 0.125, 0.125, 0.1875) == 5


def test_a_collapse_is_told_with_its_figures() -> None:
    watch = build_guards(GuardSpec(all_foreground=AllForegroundSpec(patience=2)), RARE)
    verdict = first(watch, [EVERYTHING] * 2)
    assert verdict is not None
    assert verdict[1].message == (
        "everything is predicted as foreground: recall 1 at precision 0.006, and AP 0.0061 is no better than "
        "chance (0.006) in 2 evaluation(s) in a row"
    )
    seen = {"recall": 1.0, "precision": 0.006, "ap": 0.0061, "base_rate": 0.006, "evaluations": 2.0}
    assert verdict[1].figures == seen
    nothing = first(build_guards(GuardSpec(), RARE), [NOTHING] * 2)
    assert nothing is not None
    assert nothing[1].message.startswith("everything is predicted as background: recall 0, and AP 0.0061 is")
    assert nothing[1].figures == {"recall": 0.0, "ap": 0.0061, "base_rate": 0.006, "evaluations": 2.0}


def test_a_warm_up_counts_optimizer_steps() -> None:
    watch = build_guards(GuardSpec(all_background=AllBackgroundSpec(warm_up=200)), RARE)
    check(first(watch, [NOTHING] * 20, steps=50), 5, "all_background")  # 200 and 250


def test_patience_and_limits_come_from_the_spec() -> None:
    patient = build_guards(GuardSpec(all_foreground=AllForegroundSpec(patience=4)), RARE)
    check(first(patient, [EVERYTHING] * 9), 4, "all_foreground")
    strict = build_guards(GuardSpec(all_foreground=AllForegroundSpec(recall=0.9, ratio=30, lift=1.0)), RARE)
    check(first(strict, [figures(0.94, 0.13, 0.15)] * 9), 2, "all_foreground")


def test_common_foreground_is_judged_by_its_lift() -> None:
    """At 40 % foreground twice the base rate is a good model."""
    watch = build_guards(GuardSpec(), COMMON)
    check(first(watch, [figures(1.0, 0.42, 0.7)] * 5), None, "")
    check(first(watch, [figures(1.0, 0.41, 0.41)] * 5), 2, "all_foreground")


def per_class(car: dict[str, float], ship: dict[str, float]) -> dict[str, float]:
    macro = {name: (car[name] + ship[name]) / 2 for name in car}
    suffixed = {
        f"{name}/{c}": value for c, of in (("car", car), ("ship", ship)) for name, value in of.items()
    }
    return macro | suffixed


def test_one_class_that_swallows_all_others() -> None:
    sequence = [per_class(figures(0.0, 0.0, 0.04), figures(1.0, 0.01, 0.01))] * 5
    verdict = first(build_guards(GuardSpec(), THREE), sequence)
    check(verdict, 2, "all_foreground")
    assert verdict is not None
    assert "class ship" in verdict[1].message


def test_one_class_never_predicted_is_no_collapse() -> None:
    sequence = [per_class(figures(0.8, 0.8, 0.8), figures(0.0, 0.0, 0.01))] * 9
    assert first(build_guards(GuardSpec(), THREE), sequence) is None


@pytest.mark.parametrize(
    ("aps", "positives", "stops_at"),
    [
        pytest.param([0.5, 0.6, 0.1, 0.1], 5000, 4, id="a sixth of its best"),
        pytest.param([0.5, 0.6, 0.1, 0.1], None, 4, id="count unknown"),
        pytest.param([0.5, 0.6, 0.1, 0.1], 199, None, id="too few positives"),
        pytest.param([0.6, 0.1, 0.5, 0.1, 0.5], 5000, None, id="recovers in between"),
        pytest.param([0.6, 0.3, 0.2, 0.16], 5000, None, id="over a quarter"),
        pytest.param([0.017, 0.001, 0.001, 0.001], 5000, None, id="had not learned anything"),
        pytest.param([0.1, 0.2, 0.3, 0.4, 0.5], 5000, None, id="rising"),
    ],
)
def test_ap_collapse(aps: list[float], positives: int | None, stops_at: int | None) -> None:
    watch = build_guards(GuardSpec(), RARE)
    sequence = [figures(0.5, 0.5, ap) for ap in aps]
    check(first(watch, sequence, positives=positives), stops_at, "ap_collapse")


@pytest.mark.parametrize(
    ("aps", "spec", "positives", "stops_at"),
    [
        pytest.param([0.5, 0.125], {}, 200, 2, id="at every limit"),
        pytest.param([0.5, above(0.125)], {}, 200, None, id="above the share"),
        pytest.param([0.5, 0.125], {}, 199, None, id="too few positives"),
        pytest.param([0.375, 0.09375], {}, None, 2, id="had learned just enough"),
        pytest.param([under(0.375), 0.0], {}, None, None, id="had learned too little"),
        pytest.param([0.5, 0.125], {"warm_up": 500}, None, 2, id="at the warm-up's end"),
        pytest.param([0.5, 0.125], {"warm_up": 501}, None, None, id="within the warm-up"),
        pytest.param([0.5, 0.125, 0.125], {"warm_up": 501, "patience": 2}, None, None, id="it is no streak"),
        pytest.param([0.5, 0.125, 0.125], {"patience": 3}, None, None, id="less than patience"),
        pytest.param([0.5, 0.125, 0.125, 0.125], {"patience": 3}, None, 4, id="as much as patience"),
    ],
)
def test_ap_collapse_at_its_limits(
    aps: list[float], spec: dict[str, Any], positives: int | None, stops_at: int | None
) -> None:
    limits = ApCollapseSpec(**{"patience": 1, **spec})
    watch = build_guards(GuardSpec(all_foreground=None, all_background=None, ap_collapse=limits), EIGHTH)
    sequence = [figures(0.5, 0.5, ap) for ap in aps]
    check(first(watch, sequence, positives=positives), stops_at, "ap_collapse")


def test_what_too_few_positives_say_neither_counts_nor_parts_a_row() -> None:
    watch = build_guards(GuardSpec(), RARE)
    told = [
        watch.on_evaluation(evaluation(number, figures(0.5, 0.5, ap)), positives)
        for number, (ap, positives) in enumerate([(0.4, 900), (0.1, 900), (0.9, 3), (0.1, 900)], 1)
    ]
    assert [verdict is not None for verdict in told] == [False, False, False, True]
    assert told[-1] is not None
    assert told[-1].figures == {"ap": 0.1, "best_ap": 0.4, "base_rate": 0.006, "evaluations": 2.0}
    assert told[-1].message == "AP fell to 0.1, 25% of its best 0.4, in 2 evaluation(s) in a row"


def test_ap_collapse_by_other_limits() -> None:
    spec = GuardSpec(ap_collapse=ApCollapseSpec(share=0.9, patience=1, warm_up=800, minimum_positives=0))
    watch = build_guards(spec, RARE)
    check(first(watch, [figures(0.5, 0.5, ap) for ap in (0.9, 0.5, 0.5, 0.5)], positives=1), 4, "ap_collapse")


def test_the_best_ap_outlives_a_switch_of_phase() -> None:
    watch = build_guards(GuardSpec(), RARE)
    assert watch.on_evaluation(evaluation(1, figures(0.5, 0.5, 0.6))) is None
    watch.phase_started(1)
    assert watch.on_evaluation(evaluation(2, figures(0.5, 0.5, 0.1), phase=1)) is None
    verdict = watch.on_evaluation(evaluation(3, figures(0.5, 0.5, 0.1), phase=1))
    assert verdict is not None
    assert (verdict.rule, verdict.phase) == ("ap_collapse", 1)
    assert verdict.figures["best_ap"] == 0.6


def test_the_first_rule_to_speak_is_the_more_telling_one() -> None:
    watch = build_guards(GuardSpec(), RARE)
    check(first(watch, [GOOD, EVERYTHING, EVERYTHING]), 3, "all_foreground")


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12),
    st.floats(0.1, 1.0),
    st.floats(0.0, 0.2),
)
def test_whatever_happens_at_one_half_a_model_that_ranks_better_and_better_survives(
    points: list[tuple[float, float]], top: float, rise: float
) -> None:
    aps = [min(top, 0.1 + rise * i) for i in range(len(points))]
    watch = build_guards(GuardSpec(), RARE)
    assert first(watch, [figures(*point, ap) for point, ap in zip(points, aps, strict=True)]) is None


@settings(max_examples=60)
@given(st.floats(1e-4, 0.9), st.floats(0, 1), st.floats(0, 1))
def test_near_the_base_rate_is_monotone(base: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    limits = NearBaseRate()
    assert near(low, base, limits) or not near(high, base, limits)
    assert near(base, base, limits)


def test_the_base_rate_of_several_classes_is_their_mean() -> None:
    assert base_rate(RARE) == 0.006
    assert base_rate(THREE) == pytest.approx(0.025)
