from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lossweep.search.conducting.settings import ConfirmSettings, ControlSearch
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.planted_scores import PlantedScores
from lossweep.search.simulation.sweeps import VEHICLES, simulate_sweep
from lossweep.search.study.confirmation import Arm, Confirmation, ConfirmationPlan, Role
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.verdicts.paired import PairedDifference
from lossweep.search.verdicts.result import SweepVerdict, verdict_of
from lossweep.search.verdicts.sentence import sentence
from lossweep.search.verdicts.verdict import Verdict, credited, judge
from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
from lossweep.spaces.proposing.schedule_space import SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation, HeldOutScore, ImageCounts

CONTROL, RATES, LEADER, SECOND = (
    LossSchedule.parse(line)
    for line in (
        "cross_entropy @1e-3 x8 drop | 8 epochs",
        "cross_entropy @1e-3 x4 -> cross_entropy @1e-4 x4 | 8 epochs",
        "cross_entropy @1e-3 x4 -> jaccard @1e-4 x4 | 8 epochs",
        "dice @1e-3 x8 | 8 epochs",
    )
)
ARMS = (
    Arm(Role.CONTROL, 2, CONTROL),
    Arm(Role.LEADER, 7, LEADER),
    Arm(Role.RATES_ALONE, 7, RATES),
    Arm(Role.LEADER, 9, SECOND),
)
WAVY = (0.0, 0.01, -0.01, 0.02, -0.02)
"""What five seeds do to a score; the same for all arms."""
WAVIER = (0.001, -0.001, 0.002, -0.002, 0.0)
"""What they do to a difference."""


def difference(mean: float, spread: float, count: int = 5) -> PairedDifference:
    return PairedDifference(tuple(mean + spread * (2 * k / (count - 1) - 1) for k in range(count)))


# --- one difference ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "spread", "margin", "verdict"),
    [
        (0.05, 0.01, 0.005, Verdict.BEATS),
        (-0.05, 0.01, 0.005, Verdict.LOSES),
        (0.01, 0.05, 0.005, Verdict.CANNOT_TELL),
        (0.0, 0.001, 0.005, Verdict.TIES),
        (0.003, 0.001, 0.005, Verdict.TIES),  # beyond doubt, and nobody minds
        (0.003, 0.001, 0.0, Verdict.BEATS),  # with no margin it counts
        (0.0, 0.001, 0.0, Verdict.CANNOT_TELL),  # with no margin nothing ties
        (0.0, 0.0, 0.0, Verdict.TIES),  # but what is equal in every seed
        (0.05, 0.0, 0.005, Verdict.BEATS),
        (0.003, 0.004, 0.005, Verdict.CANNOT_TELL),  # across the margin
    ],
)
def test_four_verdicts(mean: float, spread: float, margin: float, verdict: Verdict) -> None:
    (judged,) = judge([difference(mean, spread)], margin)
    assert judged.verdict is verdict
    assert (judged.seeds_needed is None) or verdict is Verdict.CANNOT_TELL


def test_a_verdict_mirrors_when_the_arms_change_places() -> None:
    mirrored = {Verdict.BEATS: Verdict.LOSES, Verdict.LOSES: Verdict.BEATS}
    for mean in (-0.05, -0.01, 0.0, 0.01, 0.05):
        (one,), (other,) = judge([difference(mean, 0.02)], 0.005), judge([difference(-mean, 0.02)], 0.005)
        assert other.verdict is mirrored.get(one.verdict, one.verdict)


def test_more_leaders_need_more_evidence() -> None:
    alone = difference(0.02, 0.02)
    (single,) = judge([alone], 0.0)
    among = judge([alone, difference(0.0, 0.02), difference(0.001, 0.02)], 0.0)[0]
    assert single.verdict is Verdict.BEATS
    assert among.verdict is Verdict.CANNOT_TELL
    assert among.p_value == pytest.approx(3 * single.p_value)
    assert among.interval[0] < single.interval[0]
    assert among.interval[1] > single.interval[1]


def test_one_seed_cannot_tell() -> None:
    (judged,) = judge([PairedDifference((0.5,))], 0.005)
    assert judged.verdict is Verdict.CANNOT_TELL
    assert judged.seeds_needed is None


def test_nothing_is_judged_of_nothing() -> None:
    assert judge([], 0.005) == ()


# --- a confirmation ----------------------------------------------------------------------------------------


def confirmed(
    scores: Mapping[LossSchedule, Sequence[float | None]],
    metric: str = "tuned_f1",
    direction: str = "maximize",
    counts: Mapping[LossSchedule, ImageCounts] | None = None,
    seeds: int = 5,
) -> SweepHistory:
    """A sweep whose confirmation came to these scores; None stands for a training that diverged."""
    trials = []
    for schedule, values in scores.items():
        for index, value in enumerate(values):
            pixels = (counts or {}).get(schedule, ())
            read = (
                HeldOutScore(value, metric, {metric: value}, (0.0,), 8, pixels) if value is not None else None
            )
            evaluation = Evaluation(8, 8, 8, 0, 0, "", 1e-3, {metric: 0.5}, finished=True, held_out=read)
            trials.append(
                TrialHistory(
                    number=20 + len(trials),
                    schedule=schedule,
                    seed=index,
                    control=None,
                    parameters={},
                    outcome=OutcomeKind.COMPLETED if read else OutcomeKind.DIVERGED,
                    reason="",
                    score=0.5,
                    feasible=True,
                    evaluations=(evaluation,),
                    confirms=index,
                )
            )
    return SweepHistory(
        name="small",
        spec_yaml="",
        state=SweepState.FINISHED,
        objective=metric,
        metric=metric,
        direction=direction,
        prior=VEHICLES,
        budget_trials=16,
        budget_epochs=8,
        trials=(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        confirmation=Confirmation(ConfirmationPlan(ARMS, seeds, 0.005, 16), tuple(trials)),
    )


def around(mean: float, own: Sequence[float] = (0.0,) * 5) -> list[float]:
    return [mean + wave + mine for wave, mine in zip(WAVY, own, strict=True)]


def verdict(history: SweepHistory) -> SweepVerdict:
    found = verdict_of(history)
    assert found is not None
    return found


def test_seeds_are_taken_in_pairs_and_the_lead_apart() -> None:
    history = confirmed(
        {CONTROL: around(0.6), RATES: around(0.62), LEADER: around(0.65, WAVIER), SECOND: around(0.5, WAVIER)}
    )
    found = verdict(history)
    first, second = found.leaders
    assert first.judged.difference.values == pytest.approx([0.05 + own for own in WAVIER])
    assert (first.judged.verdict, second.judged.verdict) == (Verdict.BEATS, Verdict.LOSES)
    assert found.headline is first
    assert first.loss is not None
    assert first.rates is not None
    assert first.loss.mean + first.rates.mean == pytest.approx(first.judged.difference.mean)
    assert second.loss is None
    assert found.complete
    assert found.best.arm.schedule == LEADER == found.simplest.arm.schedule


def test_ties_go_to_the_simpler() -> None:
    noisy = (0.03, -0.02, 0.01, 0.0, -0.01)
    history = confirmed(
        {CONTROL: around(0.6), RATES: around(0.58), LEADER: around(0.605, noisy), SECOND: around(0.5, WAVIER)}
    )
    found = verdict(history)
    assert found.best.arm.schedule == LEADER
    assert found.simplest.arm.schedule == CONTROL


def with_later(history: SweepHistory, metric: str, means: Mapping[LossSchedule, float]) -> SweepHistory:
    """The same confirmation of an objective with a second metric, read on the test split as well."""

    def read(trial: TrialHistory) -> TrialHistory:
        (last,) = trial.evaluations
        if last.held_out is None or trial.schedule not in means:
            return trial
        value = means[trial.schedule] + 0.001 * (trial.confirms or 0)
        told = replace(last.held_out, metrics={**last.held_out.metrics, metric: value})
        return replace(trial, evaluations=(replace(last, held_out=told),))

    assert history.confirmation is not None
    trials = tuple(read(trial) for trial in history.confirmation.trials)
    return replace(
        history, confirmation=replace(history.confirmation, trials=trials), later_metrics=(metric,)
    )


def test_what_ties_in_the_first_metric_and_is_worse_in_the_next_is_no_tie() -> None:
    scores = {CONTROL: around(0.6), RATES: around(0.5), LEADER: around(0.6), SECOND: around(0.6)}
    alone = verdict(confirmed(scores))
    assert alone.best.arm.schedule == alone.simplest.arm.schedule == CONTROL
    errors = {CONTROL: 0.5, RATES: 0.5, LEADER: 0.2, SECOND: 0.4}
    found = verdict(with_later(confirmed(scores), "tuned_count_error", errors))
    assert found.best.arm.schedule == found.simplest.arm.schedule == LEADER
    assert found.headline.scores.arm.schedule == LEADER
    close = {CONTROL: 0.201, RATES: 0.5, LEADER: 0.2, SECOND: 0.4}
    near = verdict(with_later(confirmed(scores), "tuned_count_error", close))
    assert (near.best.arm.schedule, near.simplest.arm.schedule) == (LEADER, CONTROL)
    reads = {LEADER: 0.2, SECOND: 0.4}  # of an arm that has no such figure nothing is told
    assert verdict(with_later(confirmed(scores), "tuned_count_error", reads)).best.arm.schedule == LEADER


def test_of_what_is_to_be_small_less_is_better() -> None:
    errors = {
        CONTROL: around(0.4), RATES: around(0.39), LEADER: around(0.35, WAVIER), SECOND: around(0.5, WAVIER)
    }  # fmt: skip
    found = verdict(confirmed(errors, "tuned_count_error", "minimize"))
    assert [leader.judged.verdict for leader in found.leaders] == [Verdict.BEATS, Verdict.LOSES]
    assert found.leaders[0].judged.difference.mean == pytest.approx(0.05)
    assert found.best.arm.schedule == LEADER
    assert "nan" not in sentence(found, "count error", "small")


def test_what_diverges_scores_the_worst_there_is() -> None:
    history = confirmed(
        {CONTROL: around(0.6), RATES: around(0.6), LEADER: [0.7, None, 0.7, 0.7, 0.7], SECOND: around(0.5)}
    )
    leader = verdict(history).leaders[0]
    assert leader.scores.diverged == 1
    assert leader.scores.values[1] == 0.0
    assert leader.judged.verdict is Verdict.CANNOT_TELL
    errors = confirmed(
        {CONTROL: around(0.6), RATES: around(0.6), LEADER: [2.5, None, 0.1, 0.1, 0.1], SECOND: around(0.5)},
        "count_error",
        "minimize",
    )
    assert verdict(errors).leaders[0].scores.values[1] == 2.5


def test_before_two_seeds_nothing_is_said() -> None:
    one = {arm.schedule: [0.5] for arm in ARMS}
    assert verdict_of(confirmed(one)) is None
    two = {arm.schedule: [0.5, 0.6] for arm in ARMS}
    found = verdict(confirmed(two))
    assert not found.complete
    assert len(found.leaders[0].judged.difference.values) == 2
    missing = {**two, SECOND: [0.5]}
    assert verdict_of(confirmed(missing)) is None


def test_seeds_that_only_one_arm_has_do_not_count() -> None:
    scores = {arm.schedule: around(0.5) for arm in ARMS} | {LEADER: around(0.6)[:3]}
    assert len(verdict(confirmed(scores)).leaders[0].judged.difference.values) == 3


def test_images_are_drawn_anew_where_their_counts_are_known() -> None:
    better = {arm.schedule: tuple(((8 + n, 5, 5),) for n in range(12)) for arm in ARMS}
    better[LEADER] = tuple(((9 + n % 5, 3, 4),) for n in range(12))
    scores = {arm.schedule: around(0.6, WAVIER) for arm in ARMS}
    first, second = verdict(confirmed(scores, counts=better)).leaders
    assert first.image_interval is not None
    assert first.image_interval[0] < first.image_interval[1]
    assert second.image_interval == (0.0, 0.0)  # the same counts as the control's
    assert verdict(confirmed(scores)).leaders[0].image_interval is None


@pytest.mark.parametrize("spread", [0.0, 0.01])
@pytest.mark.parametrize("lead", [-0.1, 0.0, 0.1])
@pytest.mark.parametrize("count", [2, 5])
def test_no_sentence_says_nan_or_inf(lead: float, spread: float, count: int) -> None:
    scores = {arm.schedule: [0.5 + spread * k for k in range(count)] for arm in ARMS}
    scores[LEADER] = [value + lead for value in scores[CONTROL]]
    scores[SECOND] = [value - 0.2 for value in scores[CONTROL]]
    said = sentence(verdict(confirmed(scores)), "F1", "small").lower()
    assert not any(word in said for word in ("nan", "inf ", "inf)", "none"))
    assert f"{lead:+.3f}" in said or f"{0.5 + lead:.3f}" in said


# --- a whole sweep -----------------------------------------------------------------------------------------


def test_a_planted_lead_is_found_by_a_whole_sweep() -> None:
    space = SpaceSpec.model_validate({"preset": "cycling", "cycles": {"low": 0, "high": 1}})
    trainer = PlantedScores(world=3, advantage=5.0, flat=True)
    quiet = SamplerSpec(ahead=False)
    history = simulate_sweep(
        12,
        3,
        epochs=4,
        space=space,
        sampler=quiet,
        control_search=ControlSearch(ControlSpace(control_rates(space), 4, VEHICLES), 0.25, 4, quiet),
        confirm=ConfirmSettings(top=2, seeds=5, margin=0.005),
        trainer=trainer,
    )
    found = verdict(history)
    assert found.complete
    assert found.headline.judged.verdict is Verdict.BEATS
    low, high = found.headline.judged.interval
    assert low < 5.0 * trainer.deviation < high
    assert found.tried.plain + found.tried.schedules == 12
    assert all(math.isfinite(value) for arm in found.arms for value in arm.values)


def test_a_lead_that_its_rates_explain_is_not_the_losss() -> None:
    ahead, equal = (
        PairedDifference((0.05, 0.06, 0.05, 0.055, 0.052)),
        PairedDifference((0.01, -0.01, 0.004, -0.003, 0.0)),
    )
    (beats,) = judge([ahead], 0.005)
    assert beats.verdict is Verdict.BEATS
    assert credited(beats, None, 0.005) == beats
    assert credited(beats, ahead, 0.005) == beats
    held = credited(beats, equal, 0.005)
    assert (held.verdict, held.by_rates) == (Verdict.CANNOT_TELL, True)
    assert held.difference == beats.difference
    within = PairedDifference((0.001, -0.001, 0.0005, -0.0005, 0.0))
    assert credited(beats, within, 0.005).verdict is Verdict.TIES
    behind = PairedDifference(tuple(-value for value in ahead.values))
    assert credited(beats, behind, 0.005).verdict is Verdict.LOSES


def test_only_a_beating_is_held_back() -> None:
    behind = PairedDifference((-0.05, -0.06, -0.05, -0.055, -0.052))
    (loses,) = judge([behind], 0.005)
    assert credited(loses, PairedDifference((0.0, 0.001, -0.001)), 0.005) == loses
