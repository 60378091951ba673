"""How much each slot of the schedule matters for the score: PED-ANOVA over the trials' parameters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lossweep.dashboards.report.plots.style import ACCENT, Plot, layout, rounded, text
from lossweep.search.study.history import SweepHistory, TrialHistory

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

LEAST_TRIALS = 8
"""With fewer proposals an importance would be noise that looks like knowledge."""


def parameter_importance(history: SweepHistory, most: int = 15) -> Plot | None:
    """Return bars of importance, or None while there are too few trials to say."""
    shares = importances(history)
    if not shares:
        return None
    top = sorted(shares.items(), key=lambda item: item[1])[-most:]
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": rounded([share for _, share in top]),
                "y": [text(name) for name, _ in top],
                "marker": {"color": ACCENT},
                "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
            }
        ],
        "layout": layout(
            "importance (share)",
            "",
            yaxis={"title": {"text": ""}, "type": "category"},
            height=120 + 24 * len(top),
            showlegend=False,
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
