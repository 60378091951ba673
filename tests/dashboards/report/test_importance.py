"""Which loss, or which rates: each parameter's place, the shares, and what the ablations say."""

from __future__ import annotations

import histories
import pytest

from lossweep.dashboards.report.plots.importance import LOSSES, RATES, Slot, parameter_importance, slot_of
from lossweep.dashboards.report.sections.importance import importance
from lossweep.search.verdicts.result import verdict_of
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.schedule_space import ScheduleSpace
from lossweep.spaces.proposing.space_spec import SpaceSpec


@pytest.mark.parametrize(
    ("name", "place", "kind"),
    [
        ("cycles", "whole schedule", RATES),
        ("phase0.loss", "phase 1", LOSSES),
        ("phase0.focal.gamma", "phase 1", LOSSES),
        ("phase0.focal.alpha.around_prior", "phase 1", LOSSES),
        ("phase0.weighted_ce", "phase 1", LOSSES),
        ("phase0.Edge.parameters.learning_rate", "phase 1", LOSSES),
        ("phase0.focal.log10_learning_rate", "phase 1", RATES),
        ("phase11.learning_rate", "phase 12", RATES),
        ("phase1.share", "phase 2", RATES),
        ("phase1.shape", "phase 2", RATES),
        ("phase0.alone_shape", "phase 1", RATES),
        ("phase0.warmup_steps", "phase 1", RATES),
        ("phase0.until.back_margin", "phase 1", RATES),
    ],
)
def test_a_parameter_is_of_a_loss_or_of_the_rates(name: str, place: str, kind: str) -> None:
    assert slot_of(name) == Slot(place, kind)


def test_every_preset_has_parameters_of_both_kinds() -> None:
    class Middle:
        """Answers with the middle, and keeps the names."""

        def __init__(self) -> None:
            self.names: set[str] = set()

        def suggest_categorical(self, name: str, choices: list[object]) -> object:
            self.names.add(name)
            return choices[len(choices) // 2]

        def suggest_float(self, name: str, low: float, high: float, **_: object) -> float:
            self.names.add(name)
            return (low + high) / 2

        def suggest_int(self, name: str, low: int, high: int, **_: object) -> int:
            self.names.add(name)
            return low

    prior = ClassPrior(names=("background", "crack"), frequencies=(0.95, 0.05))
    for preset in ("single", "cycling", "everything"):
        trial = Middle()
        space = ScheduleSpace(SpaceSpec.model_validate({"preset": preset}), 24, prior)
        space.suggest(trial)  # type: ignore[arg-type] # answers alike
        kinds = {slot_of(name).kind for name in trial.names}
        assert kinds == {LOSSES, RATES}, preset


def test_the_shares_are_summed_by_phase() -> None:
    shares = {
        "cycles": 0.1,
        "phase0.loss": 0.2,
        "phase0.focal.gamma": 0.18,
        "phase1.dice.learning_rate": 0.4,
        "phase1.warmup_steps": 0.12,
    }
    found = importance(shares, None)
    assert found.sentence == "Rates and lengths explain 62% of what the parameters explain, the losses 38%."
    assert [(slot.name, slot.losses, slot.rates) for slot in found.slots] == [
        ("phase 1", "38%", "–"),
        ("phase 2", "–", "52%"),
        ("whole schedule", "–", "10%"),
    ]
    assert found.earned == ""
    assert importance({}, None).sentence == ""


def test_the_bars_say_which_is_which() -> None:
    plot = parameter_importance(histories.sweep(proposals=12))
    assert plot is not None
    assert {trace["name"] for trace in plot["data"]} <= {LOSSES, RATES}
    assert {name for trace in plot["data"] for name in trace["y"]} == set(
        plot["layout"]["yaxis"]["categoryarray"]
    )
    assert len({trace["marker"]["color"] for trace in plot["data"]}) == len(plot["data"])


def test_the_ablations_say_what_the_rates_alone_explain() -> None:
    verdict = verdict_of(histories.confirmed())
    assert verdict is not None
    leader = verdict.headline
    assert leader.rates is not None
    assert leader.loss is not None
    earned = importance({}, verdict).earned
    assert f"of the {leader.judged.difference.mean:+.3f} that trial 2 has over the control" in earned
    assert f"its rates and lengths alone explain {leader.rates.mean:+.3f}" in earned
    assert f"its losses {leader.loss.mean:+.3f}" in earned
