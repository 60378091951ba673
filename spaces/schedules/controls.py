"""What a sweep has to beat: plain cross-entropy, the other named controls, and a schedule's ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from lossweep.spaces.losses.terms import (
    Compound,
    CrossEntropy,
    Dice,
    FrequencyWeights,
    Jaccard,
    Loss,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Until

PLAIN: Final = "cross_entropy"
"""The control that is searched: plain cross-entropy at its own best rate and shape."""
Named = Literal["weighted_ce", "jaccard", "ce_dice", "recipe"]
NAMED: Final[tuple[Named, ...]] = ("weighted_ce", "jaccard", "ce_dice", "recipe")
"""The controls beside it, in the order they are tried: trained once, at the rate and shape found for it."""
CONTROLS: Final = (PLAIN, *NAMED)
ABLATIONS: Final = ("rates_alone", "first_phase_alone", "one_loss")
"""Names of the ablations."""

RECIPE_POWER: Final = 0.7
"""The recipe's class weights are f^-0.7; the control ``weighted_ce`` is its first phase alone."""
RECIPE_DROP: Final = 0.1
"""The recipe refines at a tenth of the learning rate."""
RECIPE_RECALL: Final = 0.9
"""The recipe goes over to refinement at this recall."""
RECIPE_CYCLES: Final = 3


def is_plain(schedule: LossSchedule) -> bool:
    """Whether a schedule is plain cross-entropy at whatever rates: no weights, no smoothing."""
    return all(phase.loss == CrossEntropy() for phase in schedule.phases)


def plain(epochs: int, learning_rate: float = 1e-3) -> LossSchedule:
    """Plain cross-entropy at a constant rate: what the others start at while no better one is known."""
    return _alone(
        CrossEntropy(), Phase(loss=CrossEntropy(), learning_rate=learning_rate, epochs=epochs), epochs
    )


def named_controls(best: LossSchedule, epochs: int) -> dict[str, LossSchedule]:
    """The named controls at the rate, shape and warm-up of the best plain cross-entropy found so far.

    Weighted cross-entropy, Jaccard and cross-entropy + Dice take all three over. The recipe is what
    practitioners do on satellite imagery: weighted cross-entropy until recall is satisfying, then Jaccard at
    a tenth of the rate, in cycles; it has its fall of the rate in its second phase, and takes over rate and
    warm-up.

    Args:
        best: a plain cross-entropy schedule; its first phase is taken.
        epochs: the budget of a trial; every control takes all of it.

    Returns:
        The schedules by the names of `NAMED`, in that order.
    """
    start = best.phases[0]
    weighted = WeightedCrossEntropy(weights=FrequencyWeights(power=RECIPE_POWER))
    ce_dice = Compound(sum=(WeightedTerm(loss=CrossEntropy()), WeightedTerm(loss=Dice())))
    return {
        "weighted_ce": _alone(weighted, start, epochs),
        "jaccard": _alone(Jaccard(), start, epochs),
        "ce_dice": _alone(ce_dice, start, epochs),
        "recipe": _recipe(weighted, start, epochs),
    }


def _alone(loss: Loss, start: Phase, epochs: int) -> LossSchedule:
    phase = start.model_copy(update={"loss": loss, "epochs": epochs, "until": None})
    return LossSchedule(phases=(phase,), epochs=epochs)


def _recipe(weighted: Loss, start: Phase, epochs: int) -> LossSchedule:
    """The recipe, in as many of its cycles as the budget holds with two epochs a phase."""
    if epochs < 2:
        return _alone(weighted, start, epochs)
    cycles = max(1, min(RECIPE_CYCLES, epochs // 4))
    cycle = epochs // cycles
    most = max(1, cycle // 2)
    until = Until(metric="recall", at_least=RECIPE_RECALL, epochs=(max(1, most // 3), most))
    rate = start.learning_rate
    phases = (
        Phase(loss=weighted, learning_rate=rate, until=until, warmup_steps=start.warmup_steps),
        Phase(loss=Jaccard(), learning_rate=float(f"{rate * RECIPE_DROP:.6g}"), epochs=cycle - most),
    )
    return LossSchedule(phases=phases, cycles=cycles, epochs=epochs)


def ablations(schedule: LossSchedule, lengths: Sequence[tuple[int, int]] = ()) -> dict[str, LossSchedule]:
    """What a schedule is compared with to see what its loss and its switching gain.

    ``rates_alone`` keeps all phases with their learning rates and lengths, and trains plain cross-entropy in
    all of them: what it scores is the rates' doing, not the losses'. ``first_phase_alone`` trains the first
    phase's loss, at its rate, for the whole budget; where the schedule's last rate is below its first, it
    gets an ordinary drop at its end, so that the schedule does not win by having the only small last step.
    ``one_loss`` keeps rates and lengths, and trains the first phase's loss in all phases.

    Args:
        schedule: what is taken apart.
        lengths: the phases as they really went in a training, index in the unrolled schedule and epochs.
            ``rates_alone`` takes them over where a phase waits for a metric: another loss reaches it at
            another time, or never, and then its rates would not be the schedule's.

    Returns:
        The ablations by name, with the schedule's budget, but for those that equal it or one another.
    """
    first, last = schedule.phases[0], schedule.phases[-1]
    budget = schedule.budget
    falls = last.learning_rate < first.learning_rate and first.shape == "constant"
    shape = "drop" if falls else first.shape
    alone = first.model_copy(update={"until": None, "epochs": budget, "shape": shape})
    candidates = {
        "rates_alone": _with_one_loss(_as_it_went(schedule, lengths), CrossEntropy()),
        "first_phase_alone": LossSchedule(phases=(alone,), epochs=budget),
        "one_loss": _with_one_loss(schedule, first.loss),
    }
    itself = schedule.with_budget(budget)
    return _distinct(itself, candidates)


def _as_it_went(schedule: LossSchedule, lengths: Sequence[tuple[int, int]]) -> LossSchedule:
    """The schedule with the lengths that its phases really had, where any waits for a metric."""
    if not lengths or not any(phase.until for phase in schedule.phases):
        return schedule
    phases = schedule.unrolled()
    stays = [(phases[min(index, len(phases) - 1)], epochs) for index, epochs in lengths if epochs]
    written = tuple(phase.model_copy(update={"until": None, "epochs": epochs}) for phase, epochs in stays)
    return LossSchedule(phases=written, epochs=schedule.budget)


def _with_one_loss(schedule: LossSchedule, loss: Loss) -> LossSchedule:
    """The same rates and lengths with one loss; a switch by a metric stays one."""
    phases = tuple(phase.model_copy(update={"loss": loss}) for phase in schedule.phases)
    return LossSchedule(phases=phases, cycles=schedule.cycles, epochs=schedule.budget)


def _distinct(itself: LossSchedule, candidates: Mapping[str, LossSchedule]) -> dict[str, LossSchedule]:
    found: dict[str, LossSchedule] = {}
    for name, ablation in candidates.items():
        if ablation != itself and ablation not in found.values():
            found[name] = ablation
    return found
