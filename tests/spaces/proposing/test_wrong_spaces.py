"""A wrong space in a sweep file: every mistake with line, key, what was found and what is allowed."""

from __future__ import annotations

import pytest

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import parse_yaml, validate
from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.proposing.schedule_space import SpaceSpec

SPELLED = """\
name: vehicles
space:
  cycles: {low: 0, high: 4}
  phases:
    - losses:
        - {term: weighted_ce, weights: {power: {low: 0.2, high: 1.0}}}
        - term: focal
          gamma: {low: 0.5, high: 4}
          alpha: {around_prior: {low: 0, high: 1}}
      learning_rate: {low: 1e-4, high: 1e-2, log: true}
      until: {metric: recall, at_least: {low: 0.7, high: 0.95}}
    - losses:
        - {term: jaccard}
      learning_rate: {choice: [1e-4, 1e-5]}
"""
PRESET = """\
name: vehicles
space:
  preset: cycling
  cycles: {low: 1, high: 3}
  learning_rate: {low: 1e-4, high: 1e-2, log: true, levels: 5}
  losses: [focal, jaccard]
  parameters:
    focal: {gamma: {low: 1, high: 3}}
"""


class Sweep(Frozen):
    """The part of a sweep file that this is about."""

    name: str
    space: SpaceSpec


SPELLED_CASES = {
    "low above high": (
        "high: 4}\n          alpha",
        "high: 0.1}\n          alpha",
        (8, "gamma.low", "low is above high", "0.5", "at most high, which is 0.1"),
    ),
    "range of a parameter": (
        "gamma: {low: 0.5",
        "gamma: {low: -0.5",
        (8, "gamma", "is out of range", "-0.5", "a number >= 0.0 and <= 5.0"),
    ),
    "unknown key of a range": (
        "gamma: {low: 0.5,",
        "gamma: {low: 0.5, stp: 1,",
        (8, "gamma.stp", "unknown key 'stp'", "1", "low, high, log, step, levels"),
    ),
    "half a range": (
        "{low: 0.5, high: 4}",
        "{low: 0.5}",
        (8, "gamma", "is not a number", '{"low": 0.5}', "a number >= 0.0"),
    ),
    "empty choice of a parameter": (
        "{low: 0.5, high: 4}",
        "{choice: []}",
        (8, "gamma.choice", "is too short", "[]", "a list of at least 1"),
    ),
    "choice outside": (
        "{low: 0.5, high: 4}",
        "{choice: [1, 9]}",
        (8, "gamma", "is out of range", "9", "a number >= 0.0 and <= 5.0"),
    ),
    "unknown parameter": (
        "gamma: {low",
        "gama: {low",
        (8, "gama", "unknown key 'gama'", "0.5", "term, gamma, alpha, weights"),
    ),
    "unknown term": (
        "term: focal",
        "term: focl",
        (7, "term", "unknown term 'focl'", "focl", "cross_entropy, "),
    ),
    "power too high": (
        "low: 0.2, high: 1.0",
        "low: 0.2, high: 3.0",
        (6, "weights.power", "is out of range", "3.0", "a number >= 0.0 and <= 2.0"),
    ),
    "around what": (
        "alpha: {around_prior",
        "alpha: {about_prior",
        (9, "alpha", "is not a number", "about_prior", "a number > 0.0 and < 1.0"),
    ),
}


@pytest.mark.parametrize("case", SPELLED_CASES)
def test_mistakes_in_a_loss_are_named_in_the_loss(case: str) -> None:
    right, wrong, (line, key, message, found, allowed) = SPELLED_CASES[case]
    assert SPELLED.count(right) == 1
    with pytest.raises(UserError) as raised:
        validate(Sweep, parse_yaml(SPELLED.replace(right, wrong), "sweep.yaml"))
    (problem,) = raised.value.problems
    index = 0 if key.startswith("weights") else 1
    assert (problem.line, problem.key) == (line, f"space.phases[0].losses[{index}].{key}")
    assert message in problem.message
    assert found in str(problem.found)
    assert allowed in str(problem.allowed)


@pytest.mark.parametrize(
    ("text", "right", "wrong", "expected"),
    [
        (
            SPELLED,
            "low: 0, high: 4",
            "low: 5, high: 4",
            "3: space.cycles.low: low is above high; found 5; allowed: at most",
        ),
        (SPELLED, "low: 0, high: 4", "low: -1, high: 4", "3: space.cycles: is out of range; found {"),
        (SPELLED, "{low: 0, high: 4}", "{low: 0.5, high: 4}", "3: space.cycles: is out of range; found {"),
        (SPELLED, "{low: 0, high: 4}", "{choice: []}", "3: space.cycles.choice: is too short; found []"),
        (SPELLED, "{low: 0, high: 4}", "two", "3: space.cycles: is not a whole number; found two"),
        (
            SPELLED,
            "low: 1e-4, high: 1e-2",
            "low: 0, high: 1e-2",
            "10: space.phases[0].learning_rate.low: a logarithmic range starts",
        ),
        (
            SPELLED,
            "{low: 1e-4, high: 1e-2, log: true}",
            "{low: 0, high: 1}",
            "10: space.phases[0].learning_rate: is out of range",
        ),
        (SPELLED, "[1e-4, 1e-5]", "[1e-4, 20]", "14: space.phases[1].learning_rate: is out of range"),
        (
            SPELLED,
            "[1e-4, 1e-5]",
            "[1e-4, 0.0001]",
            "14: space.phases[1].learning_rate.choice[1]: the same choice",
        ),
        (
            SPELLED,
            "      learning_rate: {choice: [1e-4, 1e-5]}\n",
            "",
            "12: space.phases[1].learning_rate: no learning rate for jaccard; found nothing",
        ),
        (
            SPELLED,
            "metric: recall",
            "metric: recal",
            "11: space.phases[0].until.metric: unknown metric; found recal",
        ),
        (SPELLED, "metric: recall,", "", "11: space.phases[0].until.metric: is missing"),
        (
            SPELLED,
            "{metric: recall,",
            "{metric: recall, atleast: 1,",
            "11: space.phases[0].until.atleast: unknown key 'atleast'",
        ),
        (SPELLED, "log: true", "lag: true", "10: space.phases[0].learning_rate.lag: unknown key 'lag'"),
        (
            SPELLED,
            "    - losses:\n        - {term: jaccard}\n",
            "    - losses: []\n",
            "12: space.phases[1].losses: is too short",
        ),
        (
            SPELLED,
            "      until:",
            "      share: 1.5\n      until:",
            "11: space.phases[0].share: is out of range",
        ),
        (
            SPELLED,
            "      until:",
            "      shape: linear\n      until:",
            "11: space.phases[0].shape: unknown shape",
        ),
        (
            SPELLED,
            "      until:",
            "      keep_moments: {choice: [true, 1]}\n      until:",
            "11: space.phases[0].keep_moments: is not true",
        ),
        (
            SPELLED,
            "space:",
            "space:\n  preset: single",
            "5: space.phases: a space is a preset or spelled out, not both",
        ),
        (SPELLED, "space:", "space:\n  shape: cosine", "3: space.shape: changes a preset"),
        (SPELLED, "space:", "space:\n  phase: 2", "3: space.phase: unknown key 'phase'"),
        (
            PRESET,
            "preset: cycling",
            "preset: cyclic",
            "3: space.preset: is not one of the choices; found cyclic; allowed: single, focal, ",
        ),
        (
            PRESET,
            "[focal, jaccard]",
            "[focal, jacard]",
            "6: space.losses[1]: the preset has no loss 'jacard'",
        ),
        (
            PRESET,
            "[focal, jaccard]",
            "[focal]",
            "6: space.losses: phase 1 of the preset is left without a loss",
        ),
        (PRESET, "[focal, jaccard]", "[]", "6: space.losses: is too short"),
        (
            PRESET,
            "low: 1, high: 3}}",
            "low: 4, high: 3}}",
            "8: space.parameters.focal.gamma.low: low is above high",
        ),
        (
            PRESET,
            "low: 1, high: 3}}",
            "low: 4, high: 30}}",
            "8: space.parameters.focal.gamma: is out of range; found 30",
        ),
        (PRESET, "focal: {gamma", "focal: {gama", "8: space.parameters.focal.gama: unknown key 'gama'"),
        (
            PRESET,
            "    focal: {gamma",
            "    mcc: {gamma",
            "8: space.parameters.mcc: the preset has no loss 'mcc'",
        ),
        (
            PRESET,
            "levels: 5",
            "levels: 5, step: 1",
            "5: space.learning_rate.levels: step and levels exclude each other",
        ),
    ],
)
def test_mistakes_are_named(text: str, right: str, wrong: str, expected: str) -> None:
    assert text.count(right) == 1
    with pytest.raises(UserError) as raised:
        validate(Sweep, parse_yaml(text.replace(right, wrong), "sweep.yaml"))
    (problem,) = raised.value.problems
    assert str(problem).startswith(f"sweep.yaml:{expected}")


def test_the_right_files_are_read_as_they_are_written() -> None:
    """Else a mistake that the cases above plant would be one among others that nobody sees."""
    spelled, preset = (validate(Sweep, parse_yaml(text)) for text in (SPELLED, PRESET))
    assert (spelled.name, preset.name) == ("vehicles", "vehicles")
    assert spelled.space.model_dump(mode="json", exclude_defaults=True) == {
        "cycles": {"low": 0, "high": 4},
        "phases": [
            {
                "losses": [
                    {"term": "weighted_ce", "weights": {"power": {"low": 0.2, "high": 1.0}}},
                    {
                        "term": "focal",
                        "gamma": {"low": 0.5, "high": 4},
                        "alpha": {"around_prior": {"low": 0, "high": 1}},
                    },
                ],
                "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
                "until": {"metric": "recall", "at_least": {"low": 0.7, "high": 0.95}},
            },
            {"losses": [{"term": "jaccard"}], "learning_rate": {"choice": [1e-4, 1e-5]}},
        ],
    }
    assert preset.space.model_dump(mode="json", exclude_defaults=True) == {
        "preset": "cycling",
        "cycles": {"low": 1, "high": 3},
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "levels": 5},
        "losses": ["focal", "jaccard"],
        "parameters": {"focal": {"gamma": {"low": 1, "high": 3}}},
    }
    drawn = preset.space.spelled_out()
    assert drawn.phases is not None
    assert [[loss.label for loss in phase.losses] for phase in drawn.phases] == [["focal"], ["jaccard"]]


def test_what_does_not_fit_the_classes_is_named() -> None:
    text = SPELLED.replace("{power: {low: 0.2, high: 1.0}}", "[1, {low: 2, high: 9}]").replace(
        "recall", "recall/car"
    )
    source = parse_yaml(text, "sweep.yaml")
    spec = validate(Sweep, source)
    assert not spec.space.check(("background", "car"))
    problems = [source.located(each, ("space",)) for each in spec.space.check(("background", "ship", "boat"))]
    assert [(problem.line, problem.key) for problem in problems] == [
        (6, "space.phases[0].losses[0].weights"),
        (11, "space.phases[0].until.metric"),
    ]
    weights = SpaceSpec.model_validate({"parameters": {"weighted_ce": {"weights": [1, 2, 3]}}})
    assert [each.key for each in weights.check(("background", "car"))] == ["parameters.weighted_ce.weights"]
