from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.search.conducting.plans import measuring
from lossweep.search.pruning.spec import PruningSpec
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.validation import validated
from lossweep.trainers.metrics.summary import metric_names
from lossweep.trainers.plan import MeasureSpec
from lossweep.trainers.scoring.objectives import Constraint, ObjectiveSpec, pareto_front, score
from tests.search.sweeps import evaluation


@pytest.mark.parametrize(
    ("spec", "names", "directions"),
    [
        ({"use_case": "counting"}, ("tuned_object_f1",), ("maximize",)),
        ({"use_case": "needle"}, ("recall_at_precision_0.2",), ("maximize",)),
        ({"use_case": "needle", "floor": 0.35}, ("recall_at_precision_0.35",), ("maximize",)),
        ({"use_case": "no_false_alarms"}, ("precision_at_recall_0.5",), ("maximize",)),
        ({"use_case": "balanced"}, ("tuned_f1",), ("maximize",)),
        ({"metric": "count_error"}, ("count_error",), ("minimize",)),
        ({"metric": "fbeta_2"}, ("fbeta_2",), ("maximize",)),
        ({"metric": "recall_at_precision_0.20"}, ("recall_at_precision_0.2",), ("maximize",)),
        (
            {"use_case": "needle", "floor": 0.00001234567},
            ("recall_at_precision_0.00001234567",),
            ("maximize",),
        ),
        ({"metrics": ["ap", "tuned_count_error"]}, ("ap", "tuned_count_error"), ("maximize", "minimize")),
    ],
)
def test_what_is_optimized(spec: dict, names: tuple, directions: tuple) -> None:
    objective = ObjectiveSpec.model_validate(spec)
    assert objective.names == names
    assert objective.directions == directions
    assert {*names, "ap"} <= set(objective.watched)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "give one of use_case, metric or metrics"),
        ({"use_case": "needle", "metric": "ap"}, "use_case and metric"),
        ({"metric": "tuned_f2"}, "did you mean 'tuned_f1'"),
        ({"metric": "accuracy"}, "allowed: precision, recall"),
        ({"metrics": ["ap", "ap"]}, "must differ"),
        ({"use_case": "balanced", "floor": 0.2}, "floor belongs to"),
        ({"metric": "ap", "pilot": "loss"}, "pilot: unknown metric; found loss"),
        (
            {"metric": "recall_at_precision_20"},
            "the metric's floor is out of range; found recall_at_precision_20",
        ),
        ({"metrics": ["fbeta_2", "fbeta_2.0"]}, "must differ"),
        ({"metric": "ap", "constraints": [{"metric": "recall"}]}, "either at_least or at_most"),
    ],
)
def test_mistakes_are_named(spec: dict, says: str) -> None:
    with pytest.raises(UserError) as raised:
        validated(ObjectiveSpec, spec)
    assert says in str(raised.value)


def test_the_score_is_taken_at_the_best_end_of_a_cycle() -> None:
    objective = ObjectiveSpec(metric="tuned_f1")
    course = [
        evaluation(1, 0.2),
        evaluation(2, 0.9),  # in mid-cycle: does not count
        evaluation(3, 0.6, cycle_ended=True),
        evaluation(6, 0.4, cycle_ended=True),
        evaluation(8, 0.5),
    ]
    found = score(objective, course)
    assert found is not None
    assert (found.values, found.evaluation.epoch) == ((0.6,), 3)
    unfinished = score(objective, course[:2])
    assert unfinished is not None
    assert unfinished.values == (0.9,)


def test_no_score_without_the_metric() -> None:
    assert score(ObjectiveSpec(metric="iou"), [evaluation(8)]) is None
    assert score(ObjectiveSpec(metric="ap"), []) is None


def test_a_feasible_evaluation_comes_before_a_better_one() -> None:
    objective = ObjectiveSpec(metric="ap", constraints=(Constraint(metric="recall", at_least=0.5),))
    found = score(
        objective,
        [evaluation(4, 0.9, cycle_ended=True, recall=0.1), evaluation(8, 0.3, recall=0.6)],
    )
    assert found is not None
    assert found.feasible
    assert found.values == (0.3,)
    worse = score(objective, [evaluation(8, 0.9, recall=0.1)])
    assert worse is not None
    assert not worse.feasible
    assert worse.violations == {"recall >= 0.5": pytest.approx(0.4)}


@pytest.mark.parametrize(
    ("constraint", "value", "violation"),
    [
        (Constraint(metric="recall", at_least=0.5), 0.5, 0.0),
        (Constraint(metric="recall", at_least=0.5), 0.75, -0.25),
        (Constraint(metric="recall", at_least=0.5), 0.25, 0.25),
        (Constraint(metric="recall", at_least=0.0), 0.0, 0.0),
        (Constraint(metric="count_error", at_most=0.5), 0.5, 0.0),
        (Constraint(metric="count_error", at_most=0.5), 0.75, 0.25),
        (Constraint(metric="count_error", at_most=0.0), 0.25, 0.25),
    ],
)
def test_a_trial_exactly_at_its_constraint_meets_it(
    constraint: Constraint, value: float, violation: float
) -> None:
    objective = ObjectiveSpec(metric="ap", constraints=(constraint,))
    found = score(objective, [evaluation(8, 0.5, **{constraint.metric: value})])
    assert found is not None
    assert dict(found.violations) == {str(constraint): violation}
    assert found.feasible is (violation <= 0.0)
    assert found.excess == max(0.0, violation)


def test_of_infeasible_evaluations_the_one_that_misses_least_counts() -> None:
    limits = (Constraint(metric="recall", at_least=0.5), Constraint(metric="count_error", at_most=0.5))
    objective = ObjectiveSpec(metric="ap", constraints=limits)

    def chosen(*measured: tuple[float, float, float]) -> int:
        course = [
            evaluation(epoch, ap, cycle_ended=True, recall=recall, count_error=error)
            for epoch, (ap, recall, error) in enumerate(measured, start=1)
        ]
        found = score(objective, course)
        assert found is not None
        return found.evaluation.epoch - 1

    assert chosen((0.9, 0.25, 0.5), (0.1, 0.375, 0.5)) == 1  # recall missed by less, however low the AP
    assert chosen((0.1, 0.25, 0.5), (0.9, 0.25, 0.5)) == 1  # missed by as much: the better AP
    assert chosen((0.5, 0.25, 0.5), (0.5, 0.25, 0.5)) == 0  # equal: the earlier
    # What one has to spare makes nothing good that is missed of the other.
    assert chosen((0.1, 0.375, 0.5), (0.9, 0.25, 0.0)) == 0
    assert chosen((0.1, 0.375, 0.625), (0.9, 0.3125, 0.5)) == 1  # both are added up
    assert chosen((0.9, 0.49, 0.5), (0.1, 0.5, 0.5)) == 1  # one that meets all comes first
    assert chosen((0.1, 0.5, 0.5), (0.2, 0.9, 0.1)) == 1  # of those the margin does not count


def test_less_is_better_for_count_errors_and_their_constraints() -> None:
    objective = ObjectiveSpec(metric="count_error")
    course = [evaluation(4, cycle_ended=True, count_error=0.1), evaluation(8, count_error=0.3)]
    found = score(objective, course)
    assert found is not None
    assert found.values == (0.1,)
    limit = Constraint(metric="count_error", at_most=0.2)
    assert limit.violation({"count_error": 0.5}) == pytest.approx(0.3)
    assert limit.violation({"count_error": 0.1}) < 0
    assert limit.violation({}) == 1.0


def test_several_metrics_are_scored_where_the_pilot_is_best() -> None:
    objective = ObjectiveSpec(metrics=("recall", "precision"), pilot="ap")
    found = score(
        objective,
        [
            evaluation(4, 0.7, cycle_ended=True, recall=0.1, precision=0.2),
            evaluation(8, 0.5, recall=0.9, precision=0.9),
        ],
    )
    assert found is not None
    assert found.values == (0.1, 0.2)


def test_where_the_pilot_ties_the_metrics_decide_in_their_order() -> None:
    objective = ObjectiveSpec(metrics=("recall", "count_error"), pilot="ap")
    course = [
        evaluation(2, 0.5, cycle_ended=True, recall=0.6, count_error=0.4),
        evaluation(4, 0.5, cycle_ended=True, recall=0.9, count_error=0.4),
        evaluation(6, 0.5, cycle_ended=True, recall=0.9, count_error=0.3),
        evaluation(8, 0.5, recall=0.9, count_error=0.3),
    ]
    found = score(objective, course)
    assert found is not None
    assert found.evaluation.epoch == 6


@given(st.dictionaries(st.integers(0, 30), st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
@settings(max_examples=60)
def test_the_front_is_what_nothing_dominates(values: dict) -> None:
    objective = ObjectiveSpec(metrics=("ap", "count_error"))
    front = pareto_front(objective, values)
    for number, (ap, error) in values.items():
        beaten = any(
            a >= ap and e <= error and (a, e) != (ap, error) for n, (a, e) in values.items() if n != number
        )
        assert (number in front) != beaten


def test_named_floors_get_measured() -> None:
    spec = measuring(MeasureSpec(precision_floors=(0.5,)), ["recall_at_precision_0.2/car", "fbeta_2", "ap"])
    assert spec.precision_floors == (0.2, 0.5)
    assert spec.betas == (2.0,)
    assert spec.recall_floors == ()


def test_metrics_are_held_as_evaluations_spell_them() -> None:
    limit = {"metric": "precision_at_recall_0.50", "at_least": 0.4}
    objective = ObjectiveSpec.model_validate({"metric": "ap", "pilot": "fbeta_2.0", "constraints": [limit]})
    assert objective.watched == ("ap", "precision_at_recall_0.5", "fbeta_2")
    assert objective.constraints[0].violation({"precision_at_recall_0.5": 0.5}) < 0
    assert PruningSpec(metric="fbeta_0.50").metric == "fbeta_0.5"


@pytest.mark.parametrize("metric", ["recall_at_precision_0.20", "fbeta_2.0", "precision_at_recall_1.0"])
def test_a_metric_named_in_a_file_is_among_what_is_measured(metric: str) -> None:
    (name,) = ObjectiveSpec.model_validate({"metric": metric}).names
    assert name in metric_names(measuring(MeasureSpec(), [name]), objects=False)
