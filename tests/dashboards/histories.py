"""A sweep made by hand: every outcome, every control that matters, a cycling winner, and hostile names."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lossweep.search.study.confirmation import Confirmation, Role, plan_confirmation
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import (
    CrossEntropy,
    Focal,
    FrequencyWeights,
    Jaccard,
    Loss,
    WeightedCrossEntropy,
)
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Shape
from lossweep.trainers.evaluation import Evaluation, GuardVerdict, HeldOutScore

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"
STEPS_AN_EPOCH = 32

WEIGHTED = WeightedCrossEntropy(weights=FrequencyWeights(power=0.7))


def cycling(cycles: int = 3) -> LossSchedule:
    phases = (
        Phase(loss=WEIGHTED, learning_rate=1e-3, epochs=2),
        Phase(loss=Jaccard(), learning_rate=1e-4, epochs=2),
    )
    return LossSchedule(phases=phases, cycles=cycles)


def single(loss: Loss, rate: float = 1e-3, shape: Shape = "constant") -> LossSchedule:
    return LossSchedule(phases=(Phase(loss=loss, learning_rate=rate, epochs=12, shape=shape),))


def evaluations(
    schedule: LossSchedule,
    epochs: int,
    level: float,
    seed: int,
    of: int = 12,
    extra: dict[str, float] | None = None,
) -> tuple[Evaluation, ...]:
    """Curves that rise to ``level``; weighted CE leans to recall at 0.5, the rest to precision."""
    chance = random.Random(seed)
    lengths = [phase.most_epochs for phase in schedule.unrolled()]
    found = []
    for epoch in range(1, epochs + 1):
        phase, left = 0, epoch
        while phase < len(lengths) - 1 and left > lengths[phase]:
            left -= lengths[phase]
            phase += 1
        trained = schedule.unrolled()[phase]
        grown = level * (1.0 - math.exp(-epoch / 3.0)) + chance.uniform(-0.01, 0.01)
        lean = 0.3 if trained.loss.term == "weighted_ce" else -0.1
        recall, precision = min(0.99, max(0.01, grown + lean)), min(0.99, max(0.01, grown - lean))
        tuned = max(0.01, grown)
        seconds = 1.5 + chance.uniform(0.0, 0.3)
        found.append(
            Evaluation(
                step=epoch * STEPS_AN_EPOCH,
                epoch=epoch,
                epochs=of,
                phase=phase,
                cycle=phase // len(schedule.phases),
                loss_name=trained.loss.term,
                learning_rate=trained.learning_rate,
                metrics={
                    "precision": precision,
                    "recall": recall,
                    "f1": 2 * precision * recall / (precision + recall),
                    "tuned_precision": tuned + 0.02,
                    "tuned_recall": tuned - 0.02,
                    "tuned_f1": tuned,
                    "ap": tuned * 0.97,
                    "max_f1": tuned,
                    "object_f1": tuned * 0.9,
                    "tuned_object_f1": tuned * 0.95,
                    **(extra or {}),
                },
                losses={"total": 1.0 / epoch, trained.loss.term: 1.0 / epoch},
                gradient_norm=0.5,
                threshold=0.1 * epoch,
                floor_thresholds={"recall_at_precision_0.2": -0.3 * epoch},
                images_per_second=120.0,
                seconds=seconds,
                spent={"training": 0.75 * seconds, "data": 0.05 * seconds, "evaluation": 0.2 * seconds},
                used={"cores": 1.5, "memory_mib": 800.0},
                phase_ended=left == lengths[phase],
                finished=epoch == of,
            )
        )
    return tuple(found)


def trial(
    number: int,
    schedule: LossSchedule,
    level: float,
    outcome: OutcomeKind = OutcomeKind.COMPLETED,
    epochs: int = 12,
    control: str | None = None,
    reason: str = "",
    **more: object,
) -> TrialHistory:
    curve = evaluations(schedule, epochs, level, seed=number)
    best = max(curve, key=lambda e: e.metrics["tuned_f1"], default=None)
    started = CREATED + timedelta(seconds=30 * number)
    phases = schedule.phases
    parameters: dict[str, float | int | str | bool | None] = {
        "phase0.loss": phases[0].loss.term,
        "phase0.learning_rate": phases[0].learning_rate * (1 + number % 5),
        "cycles": schedule.cycles,
    }
    fields: dict[str, object] = {
        "number": number,
        "schedule": schedule,
        "seed": 1000 + number,
        "control": control,
        "parameters": {} if control else parameters,
        "outcome": outcome,
        "reason": reason,
        "score": best.metrics["tuned_f1"] if best else None,
        "scored_step": best.step if best else None,
        "feasible": True,
        "evaluations": curve,
        "decisions": (DecisionRecord(32, Decision.CONTINUE, "first rung", {"ap": 0.1}),),
        "started": started,
        "ended": started + timedelta(seconds=20) if outcome is not OutcomeKind.RUNNING else None,
        "gpu_seconds": sum(e.seconds for e in curve),
    }
    return TrialHistory(**{**fields, **more})  # type: ignore[arg-type] # a test's free hand with the fields


def diverged(number: int) -> TrialHistory:
    one = trial(number, single(Focal(gamma=0.3), 0.05), 0.1, OutcomeKind.DIVERGED, epochs=3)
    verdict = GuardVerdict(
        "all_foreground", 3 * STEPS_AN_EPOCH, 0, "recall 1.00 at precision 0.01", {"recall": 1.0}
    )
    last = Evaluation(
        **{**{f: getattr(one.evaluations[-1], f) for f in Evaluation.__slots__}, "verdict": verdict}
    )
    return trial(
        number,
        one.schedule,
        0.1,
        OutcomeKind.DIVERGED,
        epochs=3,
        reason="all_foreground: recall 1.00 at precision 0.01",
        evaluations=(*one.evaluations[:-1], last),
        score=None,
    )


def sweep(
    state: str = "finished", proposals: int = 8, hostile: bool = False, epochs: int = 12
) -> SweepHistory:
    """Two controls, a cycling winner, and a trial of every other end."""
    crash = "ValueError: boom" + (f" {HOSTILE}" if hostile else "")
    trials = [
        trial(0, single(CrossEntropy()), 0.60, epochs=epochs, control="cross_entropy"),
        trial(1, single(Jaccard()), 0.62, epochs=epochs, control="jaccard"),
        trial(2, cycling(), 0.71, epochs=epochs),
        trial(
            3,
            single(WEIGHTED),
            0.55,
            OutcomeKind.PRUNED,
            epochs=4,
            reason="AP 0.31 under the median 0.44 at rung 1/3",
        ),
        diverged(4),
        trial(
            5,
            single(Focal()),
            0.3,
            OutcomeKind.FAILED,
            epochs=0,
            reason=crash,
            traceback=f"Traceback:\n{crash}",
            score=None,
        ),
    ]
    trials += [
        trial(6 + i, cycling(1 + i % 3) if i % 2 else single(Focal(gamma=1.0 + i / 4)), 0.45 + 0.02 * (i % 6))
        for i in range(proposals)
    ]
    if state == "running":
        trials.append(trial(len(trials), cycling(2), 0.6, OutcomeKind.RUNNING, epochs=5))
    vehicle = HOSTILE if hostile else "vehicle"
    if hostile:
        extra = {f"precision/{HOSTILE}": 0.5, f"recall/{HOSTILE}": 0.25}
        trials[2] = trial(2, cycling(), 0.71, evaluations=evaluations(cycling(), 12, 0.71, 2, extra=extra))
        trials[3] = trial(
            3, single(WEIGHTED), 0.5, OutcomeKind.PRUNED, epochs=4, reason=f"worse than {HOSTILE} | `x`"
        )
    return SweepHistory(
        name="vehicles",
        spec_yaml=(
            f"name: vehicles\nseed: 1\ndata: {{source: scenes, classes: [background, '{vehicle}']}}\n"
            "objective: {use_case: counting}\nbudget: {trials: 16, epochs: 12}\n"
        ),
        state=SweepState(state),
        objective="tuned_f1 (use case counting)",
        metric="tuned_f1",
        direction="maximize",
        prior=ClassPrior(names=("background", vehicle), frequencies=(0.99, 0.01)),
        budget_trials=16,
        budget_epochs=12,
        trials=tuple(trials),
        created=CREATED,
        data_fingerprint="sha256:" + "ab" * 32,
        code_version="0.1.0",
    )


def audited(sweep: SweepHistory) -> SweepHistory:
    """The sweep with two of its trials let go on although the pruner wanted them ended."""
    spare = DecisionRecord(96, Decision.SPARE, "ap: below the best half; let go on as an audit", {"own": 0.2})
    chosen = {trial.number for trial in sweep.trials[-2:]}
    trials = (replace(t, decisions=(spare,)) if t.number in chosen else t for t in sweep.trials)
    return replace(sweep, trials=tuple(trials))


TEST_IMAGES = 12
LEVELS: Mapping[Role, float] = {
    Role.CONTROL: 0.62,
    Role.LEADER: 0.69,
    Role.RATES_ALONE: 0.66,
    Role.FIRST_PHASE_ALONE: 0.65,
    Role.ONE_LOSS: 0.64,
}
"""What the arms of `confirmed` score on the test split, on average; the first leader's."""


def confirmed(
    proposals: int = 8,
    top: int = 2,
    seeds: int = 5,
    ended: int | None = None,
    levels: Mapping[Role, float] | None = None,
    diverged: tuple[Role, int] | None = None,
    base: SweepHistory | None = None,
) -> SweepHistory:
    """`sweep`, its plain cross-entropy searched four times over, with its leaders confirmed.

    Args:
        proposals: of the sweep.
        top: leaders; trial 2, the cycling winner, is the first.
        seeds: fresh ones.
        ended: trainings that have ended; the next one runs. None for all.
        levels: scores of the arms on the test split where they are not `LEVELS`; by default trial 2 beats
            the control. Later leaders score as the control does.
        diverged: an arm of the first leader, or the control, that diverged with this seed.
        base: the sweep, in place of `sweep`.
    """
    searched = base or sweep(proposals=proposals)
    first = len(searched.trials)
    plain: list[tuple[float, Shape, float]] = [
        (3.16e-3, "drop", 0.65),
        (3.16e-3, "constant", 0.58),
        (1e-2, "cosine", 0.56),
    ]
    trials = searched.trials + tuple(
        trial(first + i, single(CrossEntropy(), rate, shape), level, control="cross_entropy")
        for i, (rate, shape, level) in enumerate(plain)
    )
    plan = plan_confirmation(trials, searched.directions, top=top, seeds=seeds, margin=0.005)
    assert plan is not None
    arms = {arm.schedule: arm for arm in reversed(plan.arms)}
    confirming = []
    for place, training in enumerate(plan.trainings()):
        schedule, seed = training.schedule, training.seed
        arm = arms[schedule]
        if ended is not None and place > ended:
            break
        if ended == place:
            end = {"outcome": OutcomeKind.RUNNING, "epochs": 5, "score": None, "scored_step": None}
        elif diverged == (arm.role, seed) and arm.trial in (plan.control.trial, plan.leaders[0].trial):
            reason = "all_foreground: recall 1.00 at precision 0.01"
            end = {"outcome": OutcomeKind.DIVERGED, "epochs": 3, "reason": reason, "score": None}
        else:
            end = {}
        level = {**LEVELS, **(levels or {})}[arm.role]
        if arm.trial not in (plan.control.trial, plan.leaders[0].trial):
            level = LEVELS[Role.CONTROL] + 0.001
        one = trial(
            len(trials) + place,
            schedule,
            level,
            **{**end, "seed": 500 + seed, "parameters": {}, "confirms": seed},
        )
        if not end:
            read = replace(one.evaluations[-1], held_out=held_out(one, level, seed))
            one = replace(one, evaluations=(*one.evaluations[:-1], read))
        confirming.append(one)
    return replace(searched, trials=trials, confirmation=Confirmation(plan, tuple(confirming)))


def held_out(one: TrialHistory, level: float, seed: int, metric: str = "tuned_f1") -> HeldOutScore:
    """What a training scores on the test split: its level, a seed's part that all arms share, and its own."""
    shared, own = random.Random(seed).gauss(0, 0.02), random.Random(one.number).gauss(0, 0.004)
    pixels = []
    for image in range(TEST_IMAGES):
        hard = random.Random(1000 + image).uniform(-0.1, 0.1)
        wrong = round(1000 * (1 - min(0.99, max(0.01, level + shared + own + hard))))
        pixels.append(((1000 - wrong, wrong, wrong),))
    right, false = (sum(image[0][which] for image in pixels) for which in (0, 1))
    f1 = right / (right + false)
    figures = {"f1": f1 * 0.9, "precision": f1, "recall": f1 * 0.8, "object_f1": f1 * 0.85, "ap": f1 * 1.05}
    tuned = {"tuned_precision": f1, "tuned_recall": f1, "tuned_f1": f1, "tuned_object_f1": f1 * 0.95}
    assert one.scored is not None
    metrics = figures | tuned
    return HeldOutScore(
        score=metrics[metric],
        metric=metric,
        metrics=metrics,
        thresholds=(one.scored.threshold,),
        step=one.scored.step,
        pixels=tuple(pixels),
        objects=tuple(((9, 1, 2),) for _ in pixels),
    )
