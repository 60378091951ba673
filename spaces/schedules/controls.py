"""The schedules every sweep tries first and must beat, and those that show what switching gains."""

from __future__ import annotations

from typing import Final

from lossweep.spaces.class_prior import ClassPrior
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

CONTROLS: Final = ("cross_entropy", "weighted_ce", "jaccard", "ce_dice", "recipe")
"""Names of the controls, in the order they are tried."""
ABLATIONS: Final = ("first_phase_alone", "one_loss")
"""Names of the ablations."""

RECIPE_POWER: Final = 0.7
"""The recipe's class weights are f^-0.7; the control ``weighted_ce`` is its first phase alone."""
RECIPE_DROP: Final = 0.1
"""The recipe refines at a tenth of the learning rate."""
RECIPE_RECALL: Final = 0.9
"""The recipe goes over to refinement at this recall."""
RECIPE_CYCLES: Final = 3


def controls(epochs: int, prior: ClassPrior, learning_rate: float = 1e-3) -> dict[str, LossSchedule]:
    """The control schedules: plain and weighted cross-entropy, Jaccard, cross-entropy + Dice, the recipe.

    The recipe is what practitioners do on satellite imagery: weighted cross-entropy until recall is
    satisfying, then Jaccard at a small learning rate, in cycles.

    Args:
        epochs: the budget of a trial; every control takes all of it.
        prior: classes of the data; the controls need nothing of it that isn't computed when losses are built.
        learning_rate: of the first phases.

    Returns:
        The schedules by the names of `CONTROLS`, in that order.
    """
    weighted = WeightedCrossEntropy(weights=FrequencyWeights(power=RECIPE_POWER))
    ce_dice = Compound(sum=(WeightedTerm(loss=CrossEntropy()), WeightedTerm(loss=Dice())))
    losses: dict[str, Loss] = {
        "cross_entropy": CrossEntropy(),
        "weighted_ce": weighted,
        "jaccard": Jaccard(),
        "ce_dice": ce_dice,
    }
    schedules = {name: _alone(loss, learning_rate, epochs) for name, loss in losses.items()}
    return {**schedules, "recipe": _recipe(weighted, epochs, learning_rate)}


def _alone(loss: Loss, learning_rate: float, epochs: int) -> LossSchedule:
    return LossSchedule(phases=(Phase(loss=loss, learning_rate=learning_rate, epochs=epochs),), epochs=epochs)


def _recipe(weighted: Loss, epochs: int, learning_rate: float) -> LossSchedule:
    """The recipe, in as many of its cycles as the budget holds with two epochs a phase."""
    if epochs < 2:
        return _alone(weighted, learning_rate, epochs)
    cycles = max(1, min(RECIPE_CYCLES, epochs // 4))
    cycle = epochs // cycles
    most = max(1, cycle // 2)
    until = Until(metric="recall", at_least=RECIPE_RECALL, epochs=(max(1, most // 3), most))
    phases = (
        Phase(loss=weighted, learning_rate=learning_rate, until=until),
        Phase(loss=Jaccard(), learning_rate=learning_rate * RECIPE_DROP, epochs=cycle - most),
    )
    return LossSchedule(phases=phases, cycles=cycles, epochs=epochs)


def ablations(schedule: LossSchedule) -> dict[str, LossSchedule]:
    """What a schedule is compared with to see what its switching gains.

    ``first_phase_alone`` trains the first phase's loss, at its rate, for the whole budget; ``one_loss`` keeps
    all phases with their learning rates and lengths, and trains the first phase's loss in all of them.

    Returns:
        The ablations by name, with the schedule's budget, but for those that equal it or one another.
    """
    first = schedule.phases[0]
    budget = schedule.budget
    alone = LossSchedule(phases=(first.model_copy(update={"until": None, "epochs": budget}),), epochs=budget)
    one_loss = LossSchedule(
        phases=tuple(phase.model_copy(update={"loss": first.loss}) for phase in schedule.phases),
        cycles=schedule.cycles,
        epochs=budget,
    )
    itself = schedule.with_budget(budget)
    found: dict[str, LossSchedule] = {}
    for name, ablation in (("first_phase_alone", alone), ("one_loss", one_loss)):
        if ablation != itself and ablation not in found.values():
            found[name] = ablation
    return found
