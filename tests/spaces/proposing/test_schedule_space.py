"""Spaces: what they propose within a budget, and the parameters of what they proposed."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import Focal, FrequencyWeights
from lossweep.spaces.proposing.loss_space import AroundPrior
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.proposing.space_spec import PRESETS, preset_space
from lossweep.spaces.schedules.schedule import LossSchedule

BINARY = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
THREE = ClassPrior(names=("background", "vehicle", "ship"), frequencies=(0.9, 0.08, 0.02))
RATE = {"low": 1e-4, "high": 1e-2, "log": True}
optuna.logging.set_verbosity(optuna.logging.ERROR)


def draw(space: ScheduleSpace, count: int = 60, seed: int = 0) -> list[tuple[LossSchedule, dict[str, Any]]]:
    """Schedules with the parameters an optimizer saw."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            trial = study.ask()
            drawn.append((space.suggest(trial), dict(trial.params)))
            study.tell(trial, 0.0)
    return drawn


def spelled(**phase: Any) -> SpaceSpec:
    """A space of one phase in two cycles, then Jaccard."""
    first = {"losses": [{"term": "dice"}], "learning_rate": 1e-3, **phase}
    refine = {"losses": [{"term": "jaccard"}], "learning_rate": 1e-4}
    return SpaceSpec.model_validate({"cycles": 2, "phases": [first, refine]})


@pytest.mark.parametrize("prior", [BINARY, THREE], ids=["binary", "three classes"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 8, 13, 30])
@pytest.mark.parametrize("preset", PRESETS)
def test_schedules_fit_every_budget(preset: str, epochs: int, prior: ClassPrior) -> None:
    space = ScheduleSpace(SpaceSpec(preset=preset), epochs, prior)
    for schedule, parameters in draw(space, 25):
        assert schedule.epochs == epochs
        # Sensible within the budget: nothing is cut, and less than a cycle's worth is left to the last phase.
        assert epochs - schedule.cycles < schedule.most_epochs <= epochs
        found = space.parameters_of(schedule)
        assert found.keys() == parameters.keys()
        assert space.suggest(optuna.trial.FixedTrial(found)) == schedule
        # Every parameter of an optimizer is found as it was, but for shares that come to the same length.
        for name, value in parameters.items():
            assert name.endswith(".share") or found[name] == pytest.approx(value)


def test_cycling_proposes_what_it_says() -> None:
    space = ScheduleSpace(SpaceSpec(preset="cycling"), 24, BINARY)
    schedules = [schedule for schedule, _ in draw(space, 300)]
    firsts = {schedule.phases[0].loss_name.partition("(")[0] for schedule in schedules}
    assert {name.partition(" ")[0] for name in firsts} == {"weighted_ce", "focal", "cross_entropy"}
    refinements = {schedule.phases[1].loss.term for schedule in schedules if len(schedule.phases) == 2}
    assert refinements == {"jaccard", "dice", "tversky", "lovasz"}
    assert {schedule.cycles if len(schedule.phases) == 2 else 0 for schedule in schedules} == {0, 1, 2, 3, 4}
    assert {schedule.phases[0].until is None for schedule in schedules} == {True, False}
    assert max(len(parameters) for _, parameters in draw(space)) <= 12


def test_parameters_are_named_by_phase_and_loss() -> None:
    space = ScheduleSpace(SpaceSpec(preset="cycling"), 24, BINARY)
    for schedule, parameters in draw(space):
        own = [
            name
            for name in parameters
            if name not in ("cycles", "phase0.share", "phase0.loss", "phase1.loss")
        ]
        for name in own:
            phase, loss = name.split(".")[:2]
            assert loss in (parameters[f"{phase}.loss"], "until", "alone_shape")
        # Only what stands alone is asked for its shape; what switches falls by its second rate.
        assert ("phase0.alone_shape" in parameters) == (len(schedule.unrolled()) == 1)
        # Nothing is asked about a refinement that isn't trained.
        assert any(name.startswith("phase1") for name in parameters) == (len(schedule.phases) == 2)


def test_focals_alpha_lies_around_the_prior() -> None:
    spec = SpaceSpec(preset="single", losses=("focal",))
    for share in (0.3, 0.05, 0.004, 1e-4):
        prior = ClassPrior(names=("background", "vehicle"), frequencies=(1 - share, share))
        losses = [schedule.phases[0].loss for schedule, _ in draw(ScheduleSpace(spec, 4, prior), 80)]
        alphas = [loss.alpha for loss in losses if isinstance(loss, Focal) and loss.alpha is not None]
        assert len(alphas) == len(losses)
        assert min(alphas) == 0.5
        assert max(alphas) == pytest.approx(1 - share, rel=1e-2 * share)
        odds = sorted({alpha / (1 - alpha) for alpha in alphas})
        # Evenly in the logarithm of the odds: from one to the prior's.
        steps = [later / earlier for earlier, later in pairwise(odds)]
        assert steps == pytest.approx([((1 - share) / share) ** 0.1] * len(steps), rel=0.03)
    (schedule, _), *_ = draw(ScheduleSpace(spec, 4, THREE), 1)
    loss = schedule.phases[0].loss
    assert isinstance(loss, Focal)
    assert loss.alpha is None
    assert isinstance(loss.weights, FrequencyWeights)


@settings(max_examples=200)
@given(st.floats(0.0, 1.0), st.floats(0.0, 2.0))
def test_alphas_power_is_found_again(share: float, power: float) -> None:
    prior = ClassPrior(names=("background", "vehicle"), frequencies=(1 - share, share))
    alpha = AroundPrior.alpha(power, prior)
    assert 0 < alpha < 1
    assert AroundPrior.alpha(AroundPrior.power(alpha, prior), prior) == alpha


def test_continuous_and_nested_values_come_back_exactly() -> None:
    spec = spelled(
        losses=[
            {
                "term": "focal",
                "gamma": {"low": 0.0, "high": 5.0},
                "alpha": {"around_prior": {"low": 0.2, "high": 1.1}},
                "learning_rate": {"low": 1e-6, "high": 1.0, "log": True},
            },
            {"term": "weighted_ce", "weights": {"choice": [[1, 10], [1, 42.5]]}},
            {"term": "weighted_ce", "weights": {"beta": {"low": 0.9, "high": 0.999}, "cap": 50}},
            {"term": "weighted_ce", "weights": [1, {"low": 1, "high": 50, "log": True}]},
            {
                "sum": [
                    {
                        "weight": {"low": 0.1, "high": 9},
                        "loss": {"term": "dice", "smooth": {"low": 0.5, "high": 2}},
                    },
                    {"weight": 0.5, "loss": {"term": "cross_entropy"}},
                ]
            },
            {
                "term": "my.losses:Edge",
                "parameters": {"width": {"low": 1, "high": 9}, "low": 0.5, "mode": {"choice": ["a", "b"]}},
            },
        ],
        learning_rate={"low": 1e-4, "high": 1e-2, "log": True},
        share={"low": 0.2, "high": 0.8},
        until={
            "use": {"choice": [True, False]},
            "metric": {"choice": ["recall", "count_error"]},
            "at_least": {"low": 0.5, "high": 0.9},
            "back_margin": {"low": 0.01, "high": 0.2},
            "least": 2,
        },
        shape={"choice": ["constant", "cosine"]},
        warmup_steps={"low": 0, "high": 100, "step": 10},
    )
    space = ScheduleSpace(spec, 20, BINARY)
    drawn = draw(space, 300)
    for schedule, _ in drawn:
        parameters = space.parameters_of(schedule)
        assert space.suggest(optuna.trial.FixedTrial(parameters)) == schedule
        assert LossSchedule.parse(str(schedule)) == schedule
    names = {name for _, parameters in drawn for name in parameters}
    assert {
        "phase0.focal.alpha.around_prior",
        "phase0.focal.learning_rate",
        "phase0.weighted_ce",
        "phase0.weighted_ce2.beta",
        "phase0.weighted_ce3.1",
        "phase0.dice_cross_entropy.dice.weight",
        "phase0.dice_cross_entropy.dice.smooth",
        "phase0.Edge.parameters.width",
        "phase0.Edge.parameters.mode",
        "phase0.until.back_margin",
        "phase0.warmup_steps",
    } <= names
    edges = [schedule for schedule, parameters in drawn if parameters["phase0.loss"] == "Edge"]
    assert all(isinstance(each.phases[0].loss.parameters["width"], int) for each in edges)


def test_changes_to_a_preset() -> None:
    spec = SpaceSpec.model_validate(
        {
            "preset": "cycling",
            "cycles": {"low": 1, "high": 2},
            "learning_rate": {"low": 1e-3, "high": 2e-3},
            "refine_learning_rate": 1e-5,
            "losses": ["focal", "weighted_ce", "jaccard"],
            "parameters": {"focal": {"gamma": 3, "alpha": None}},
            "until": False,
            "share": 0.5,
            "shape": "cosine",
            "keep_moments": False,
            "warmup_steps": 7,
        }
    )
    for schedule, _ in draw(ScheduleSpace(spec, 8, BINARY)):
        first, refine = schedule.phases
        assert schedule.cycles in (1, 2)
        assert 1e-3 <= first.learning_rate <= 2e-3
        assert refine.learning_rate == 1e-5
        assert first.loss_name == "focal(gamma=3)" or first.loss_name.startswith("weighted_ce(power=")
        assert refine.loss_name == "jaccard"
        assert first.most_epochs == refine.most_epochs == 4 // schedule.cycles
        assert (first.until, first.shape, first.keep_moments, refine.warmup_steps) == (
            None,
            "cosine",
            False,
            7,
        )
    until = SpaceSpec.model_validate({"until": {"metric": "f1/vehicle", "at_least": 0.5, "least": 2}})
    assert until.metrics == {"f1/vehicle"}
    assert not until.check(BINARY.names)
    assert [problem.key for problem in until.check(("background", "ship"))] == ["until.metric"]


def test_without_anything_it_is_the_preset_cycling() -> None:
    assert SpaceSpec().spelled_out() == preset_space("cycling") == SpaceSpec(preset="cycling").spelled_out()


@pytest.mark.parametrize("preset", PRESETS)
def test_spaces_survive_being_dumped(preset: str) -> None:
    spec = SpaceSpec(preset=preset)
    assert SpaceSpec.model_validate(spec.model_dump(mode="json")) == spec
    spelled_out = spec.spelled_out()
    again = SpaceSpec.model_validate(spelled_out.model_dump(mode="json"))
    assert again == spelled_out
    assert draw(ScheduleSpace(again, 12, BINARY), 5) == draw(ScheduleSpace(spec, 12, BINARY), 5)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("jaccard @1e-3 x4 -> jaccard @1e-4 x4 | 2 cycles", "phase0.loss: jaccard is not among dice"),
        ("dice @1e-2 x4 -> jaccard @1e-4 x4 | 2 cycles", "phase0.dice.learning_rate: 0.01 is not 0.001"),
        (
            "dice(smooth=2) @1e-3 x4 -> jaccard @1e-4 x4 | 2 cycles",
            "dice(smooth=2) is not in the space's dice",
        ),
        ("dice @1e-3 x4 -> jaccard @1e-4 x4 | 3 cycles", "cycles: 3 is not 2"),
        ("dice @1e-3 x4 -> jaccard @1e-4 x4 -> mcc @1 x1", "3 phases are no number of its cycles"),
        (
            "dice @1e-3 x3 -> jaccard @1e-4 x5 | 2 cycles",
            "no share of a cycle of 8 epochs gives a phase of 3",
        ),
        (
            "dice @1e-3 x4 -> jaccard @1e-4 x3 | 2 cycles",
            "the nearest one in it is dice @1e-3 x4 -> jaccard @1e-4 x4",
        ),
        ("dice @1e-3 until f1>=0.5 in 1..4 -> jaccard @1e-4 x4 | 2 cycles", "the nearest one in it is dice"),
        ("dice @1e-3 x4 cosine -> jaccard @1e-4 x4 | 2 cycles", 'phase0.shape: "cosine" is not "constant"'),
    ],
)
def test_schedules_outside_are_refused_with_the_reason(line: str, reason: str) -> None:
    space = ScheduleSpace(spelled(), 16, BINARY)
    with pytest.raises(UserError, match="the schedule is not in the space") as raised:
        space.parameters_of(LossSchedule.parse(line))
    assert reason in str(raised.value)


def test_schedules_of_another_budget_are_refused_or_refitted() -> None:
    space = ScheduleSpace(SpaceSpec(), 12, BINARY)
    winner = LossSchedule.parse(
        "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 1..5 -> jaccard @1e-4 x5 | 3 cycles | 30 epochs"
    )
    with pytest.raises(UserError, match="epochs: the schedule is of another budget; found 30; allowed: 12"):
        space.parameters_of(winner)
    fitted = space.refitted(winner)
    assert str(fitted) == (
        "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 1..2 -> jaccard @1e-4 x2 | 3 cycles | 12 epochs"
    )
    assert space.suggest(optuna.trial.FixedTrial(space.parameters_of(fitted))) == fitted
    small = ScheduleSpace(SpaceSpec(), 5, BINARY)
    assert small.refitted(winner).cycles == 2
    assert small.parameters_of(small.refitted(winner))["cycles"] == 2
    alone = LossSchedule.parse("weighted_ce(power=0.7) @1e-3 x30")
    assert space.parameters_of(space.refitted(alone))["cycles"] == 0


UNTIL = {
    "use": {"choice": [True, False]},
    "metric": "recall",
    "at_least": {"low": 0.5, "high": 0.9},
    "least": 2,
}
DICE = {
    "losses": [{"term": "dice"}],
    "learning_rate": 1e-3,
    "until": UNTIL,
    "share": {"low": 0.25, "high": 0.75},
}
JACCARD = {"losses": [{"term": "jaccard"}], "learning_rate": 1e-4, "until": UNTIL}
BOTH_WAIT = SpaceSpec.model_validate({"cycles": {"low": 0, "high": 3}, "phases": [DICE, JACCARD]})
"""Phases of which each may end by a metric."""


def both(first: str, second: str, more: str = "") -> str:
    """The schedule whose phases last so long."""
    return f"dice @1e-3 {first} -> jaccard @1e-4 {second}{more}"


def until(level: float, most: int) -> str:
    return f"until recall>={level} in 2..{most}"


@pytest.mark.parametrize(
    ("lengths", "cycles", "epochs", "fitted"),
    [
        # The metrics go on to end the phases, the last one's too while a cycle follows it.
        (
            (until(0.9, 6), until(0.6, 4)),
            3,
            36,
            both(until(0.9, 7), until(0.6, 5), " | 3 cycles | 36 epochs"),
        ),
        # Three cycles would fit as well, but as many as there were do.
        (
            (until(0.9, 6), until(0.6, 4)),
            2,
            36,
            both(until(0.9, 11), until(0.6, 7), " | 2 cycles | 36 epochs"),
        ),
        # The last phase of one cycle goes on to the end: no metric ends it.
        ((until(0.9, 6), until(0.6, 4)), 1, 20, both(until(0.9, 12), "x8", " | 20 epochs")),
        # A phase as short as its least length has no earlier end; one epoch longer it has.
        ((until(0.9, 4), until(0.6, 4)), 3, 12, both("x2", "x2", " | 3 cycles | 12 epochs")),
        ((until(0.9, 6), until(0.6, 4)), 3, 15, both(until(0.9, 3), "x2", " | 3 cycles | 15 epochs")),
        # The budget holds two cycles, one, or a single phase.
        ((until(0.9, 6), until(0.6, 4)), 3, 5, both("x1", "x1", " | 2 cycles | 5 epochs")),
        ((until(0.9, 6), until(0.6, 4)), 3, 3, both("x2", "x1", " | 3 epochs")),
        ((until(0.9, 6), until(0.6, 4)), 3, 1, "dice @1e-3 x1 | 1 epoch"),
        # What ended by its length does so still.
        (("x6", "x2"), 2, 16, both("x6", "x2", " | 2 cycles | 16 epochs")),
    ],
)
def test_a_winner_whose_phases_end_by_metrics_is_refitted(
    lengths: tuple[str, str], cycles: int, epochs: int, fitted: str
) -> None:
    space = ScheduleSpace(BOTH_WAIT, epochs, BINARY)
    winner = LossSchedule.parse(both(*lengths, f" | {cycles} cycles" if cycles > 1 else ""))
    found = space.refitted(winner)
    assert str(found) == fitted
    assert space.suggest(optuna.trial.FixedTrial(space.parameters_of(found))) == found


def test_a_winner_of_another_number_of_phases_is_left_as_it_is() -> None:
    space = ScheduleSpace(BOTH_WAIT, 12, BINARY)
    three = "dice @1e-3 x1 -> jaccard @1e-4 x1 -> mcc @1e-4 x1"
    for line in (three, f"{three} | 3 cycles"):
        winner = LossSchedule.parse(line)
        assert space.refitted(winner) == winner


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 10_000))
def test_every_proposal_refits_another_budget(old: int, new: int, seed: int) -> None:
    (schedule, _), *_ = draw(ScheduleSpace(SpaceSpec(), old, BINARY), 1, seed)
    space = ScheduleSpace(SpaceSpec(), new, BINARY)
    fitted = space.refitted(schedule)
    assert space.suggest(optuna.trial.FixedTrial(space.parameters_of(fitted))) == fitted


def test_cycles_that_no_budget_holds_are_refused() -> None:
    with pytest.raises(
        UserError, match="3 epochs hold at most 1 cycles of 2 phases; found 2; allowed: at most 1"
    ):
        ScheduleSpace(spelled(), 3, BINARY)


def test_tpe_and_enqueued_schedules_meet() -> None:
    """A real sampler over the space, with a schedule put in first, as the conductor does with controls."""
    space = ScheduleSpace(SpaceSpec(), 12, BINARY)
    wanted = LossSchedule.parse("weighted_ce(power=0.7) @1e-3 x3 -> dice @1e-4 x3 | 2 cycles | 12 epochs")
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(multivariate=True, group=True, n_startup_trials=5, seed=0)
    )
    study.enqueue_trial(space.parameters_of(wanted))
    for index in range(25):
        trial = study.ask()
        schedule = space.suggest(trial)
        assert index > 0 or schedule == wanted
        assert space.suggest(optuna.trial.FixedTrial(space.parameters_of(schedule))) == schedule
        study.tell(trial, schedule.phases[0].learning_rate)
