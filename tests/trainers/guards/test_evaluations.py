"""Rules that see evaluations: a table of metric sequences, and the evaluation at which each stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


@settings(deadline=None, max_examples=60)
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


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-4, 0.9), st.floats(0, 1), st.floats(0, 1))
def test_near_the_base_rate_is_monotone(base: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    limits = NearBaseRate()
    assert near(low, base, limits) or not near(high, base, limits)
    assert near(base, base, limits)


def test_the_base_rate_of_several_classes_is_their_mean() -> None:
    assert base_rate(RARE) == 0.006
    assert base_rate(THREE) == pytest.approx(0.025)
