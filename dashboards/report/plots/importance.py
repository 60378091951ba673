"""How much each slot of the schedule matters for the score: PED-ANOVA over the trials' parameters."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lossweep.dashboards.report.plots.style import Plot, layout, rounded, text
from lossweep.search.study.history import SweepHistory, TrialHistory

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

_PHASE: Final = re.compile(r"phase(?P<index>\d+)\.(?P<rest>.+)")
LEAST_TRIALS = 8
"""With fewer proposals an importance would be noise that looks like knowledge."""


LOSSES: Final = "losses"
RATES: Final = "rates and lengths"
_COLORS: Final = {LOSSES: "#d55e00", RATES: "#0072b2"}
_OF_RATES: Final = frozenset({"share", "shape", "alone_shape", "warmup_steps", "keep_moments"})
"""What a phase has beside its loss, its rate and its end."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a parameter belongs to.

    Attributes:
        place: ``phase 1``, ``phase 2``, ... or ``whole schedule``.
        kind: `LOSSES` or `RATES`.
    """

    place: str
    kind: str


def slot_of(name: str) -> Slot:
    """Return what a parameter of `spaces.proposing.schedule_space` belongs to.

    A phase's rate, its shape and warm-up, and whatever says how long it lasts are its rates and lengths; the
    choice of its loss and that loss's own parameters, its losses. The number of cycles is of the whole
    schedule, and says nothing of losses.
    """
    found = _PHASE.fullmatch(name)
    if found is None:
        return Slot("whole schedule", RATES)
    parts = found["rest"].split(".")
    last = parts[-1].removeprefix("log10_")
    rate = last == "learning_rate" and len(parts) <= 2
    of_rates = rate or parts[0] == "until" or (last in _OF_RATES and len(parts) == 1)
    return Slot(f"phase {int(found['index']) + 1}", RATES if of_rates else LOSSES)


def parameter_importance(history: SweepHistory, most: int = 15) -> Plot | None:
    """Return a bar a parameter, coloured by what it belongs to; None while there are too few trials."""
    shares = importances(history)
    if not shares:
        return None
    top = sorted(shares.items(), key=lambda item: item[1])[-most:]
    kinds = [kind for kind in _COLORS if any(slot_of(name).kind == kind for name, _ in top)]
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "name": kind,
                "x": rounded([share for name, share in top if slot_of(name).kind == kind]),
                "y": [text(name) for name, _ in top if slot_of(name).kind == kind],
                "marker": {"color": _COLORS[kind]},
                "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
            }
            for kind in kinds
        ],
        "layout": layout(
            "importance (share)",
            "",
            yaxis={
                "title": {"text": ""},
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [text(name) for name, _ in top],
            },
            height=140 + 24 * len(top),
            margin={"l": 56, "r": 16, "t": 12, "b": 64},
            showlegend=True,
        ),
    }


def importances(history: SweepHistory) -> Mapping[str, float]:
    """Return each parameter's share of the importance, by PED-ANOVA (Watanabe et al., IJCAI 2023).

    Optuna's form of it takes conditional parameters, those that only some schedules have, among the trials
    that set them. The figure is read from a study rebuilt in memory from the history: ranges are those seen,
    not those allowed.
    """
    trials = [t for t in history.trials if t.score is not None and t.control is None and t.parameters]
    if len(trials) < LEAST_TRIALS:
        return {}
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    distributions = _distributions(trials)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                direction="maximize" if history.direction == "maximize" else "minimize"
            )
            study.add_trials([_frozen(trial, distributions) for trial in trials])
            # At least five trials above the quantile, as its authors advise.
            evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, 5 / len(trials))))
            found = evaluator.evaluate(study)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        log.info("no importances: %s", error)
        return {}
    finally:
        optuna.logging.set_verbosity(verbosity)
    total = sum(found.values())
    return {name: value / total for name, value in found.items() if value > 0.0} if total > 0.0 else {}


def _distributions(trials: Sequence[TrialHistory]) -> dict[str, BaseDistribution]:
    """Return a distribution over the values seen of each parameter that has at least two."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    seen: dict[str, list[float | int | str | bool]] = {}
    for trial in trials:
        for name, value in trial.parameters.items():
            if value is not None:
                seen.setdefault(name, []).append(value)
    found: dict[str, BaseDistribution] = {}
    for name, values in seen.items():
        if len(set(values)) < 2:
            continue
        if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            found[name] = IntDistribution(int(min(values)), int(max(values)))
        elif all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            low, high = float(min(values)), float(max(values))
            found[name] = FloatDistribution(low, high, log=low > 0.0 and high / low > 30.0)
        else:
            found[name] = CategoricalDistribution(sorted({str(value) for value in values}))
    return found


def _frozen(trial: TrialHistory, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    held = {n: v for n, v in trial.parameters.items() if v is not None and n in distributions}
    chosen = {n: distributions[n] for n in held}
    plain = {n: str(v) if isinstance(chosen[n], CategoricalDistribution) else v for n, v in held.items()}
    return create_trial(params=plain, distributions=chosen, value=trial.score)
