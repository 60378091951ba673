"""A wrong schedule file: every mistake at once, each with line, key, what was found and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import load_schedule

GOOD = """\
format: lossweep-schedule/1
phases:
  - loss: {term: focal, gamma: 2}
    learning_rate: 1e-3
    until:
      metric: recall
      at_least: 0.9
      epochs: [2, 6]
  - loss: {term: jaccard}
    learning_rate: 1e-4
    epochs: 4
cycles: 3
"""

CASES = {
    # what is replaced, by what: line, key, message, found, allowed, hint
    "unknown term": (
        "term: jaccard",
        "term: jacard",
        (
            9,
            "phases[1].loss.term",
            "unknown term 'jacard'",
            "jacard",
            "cross_entropy, weighted_ce,",
            "'jaccard'?",
        ),
    ),
    "missing term": (
        "{term: jaccard}",
        "{}",
        (9, "phases[1].loss.term", "is missing", None, "jaccard", None),
    ),
    "bare term": (
        "{term: jaccard}",
        "jaccard",
        (9, "phases[1].loss", "is not keys with values", "jaccard", "keys", "write {term: jaccard}"),
    ),
    "gamma below 0": (
        "gamma: 2",
        "gamma: -0.5",
        (3, "phases[0].loss.gamma", "is out of range", "-0.5", "a number >= 0.0 and <= 5.0", None),
    ),
    "gamma is text": (
        "gamma: 2",
        "gamma: high",
        (3, "phases[0].loss.gamma", "is not a number", "high", ">= 0.0", None),
    ),
    "gamma is true": (
        "gamma: 2",
        "gamma: true",
        (3, "phases[0].loss.gamma", "is not a number", "true", ">= 0.0", None),
    ),
    "gamma is infinite": (
        "gamma: 2",
        "gamma: .inf",
        (3, "phases[0].loss.gamma", "is not finite", "Infinity", ">= 0", None),
    ),
    "unknown key": (
        "gamma: 2",
        "gama: 2",
        (3, "phases[0].loss.gama", "unknown key 'gama'", "2", "term, gamma, alpha, weights", "'gamma'?"),
    ),
    "one weight": (
        "gamma: 2",
        "weights: [1]",
        (3, "phases[0].loss.weights", "is too short", "[1]", "a list of at least 2", None),
    ),
    "negative weight": (
        "gamma: 2",
        "weights: [1, -2]",
        (3, "phases[0].loss.weights[1]", "is out of range", "-2", "a number >= 0.0", None),
    ),
    "no weight": (
        "gamma: 2",
        "weights: [0, 0]",
        (3, "phases[0].loss.weights", "at least one class", None, None, None),
    ),
    "unknown weighting": (
        "gamma: 2",
        "weights: {power: 1, capp: 2}",
        (3, "phases[0].loss.weights.capp", "unknown key 'capp'", "2", "power, cap", "'cap'?"),
    ),
    "import path": (
        "term: jaccard",
        'term: "mine:a.b"',
        (9, "phases[1].loss.term", "string should match pattern", "mine:a.b", "text matching", None),
    ),
    "an infinite parameter": (
        "{term: jaccard}",
        '{term: "mine:Edge", parameters: {width: .inf}}',
        (9, "phases[1].loss.parameters.width", "is not finite", "Infinity", None, None),
    ),
    "a sum of one": (
        "{term: jaccard}",
        "{sum: [{loss: {term: jaccard}}]}",
        (9, "phases[1].loss.sum", "is too short", "term", "a list of at least 2", None),
    ),
    "a term twice": (
        "{term: jaccard}",
        "{sum: [{loss: {term: dice}}, {weight: 2, loss: {term: dice}}]}",
        (
            9,
            "phases[1].loss.sum",
            "the same term stands in the sum twice",
            None,
            None,
            "add up their weights",
        ),
    ),
    "learning rate": (
        "learning_rate: 1e-4",
        "learning_rate: 0",
        (10, "phases[1].learning_rate", "is out of range", "0", "a number > 0.0 and <= 10.0", None),
    ),
    "missing learning rate": (
        "    learning_rate: 1e-4\n",
        "",
        (9, "phases[1].learning_rate", "is missing", None, "a number > 0.0", None),
    ),
    "no length": (
        "    epochs: 4\n",
        "",
        (9, "phases[1].epochs", "a phase needs a length", "neither", "epochs: N", None),
    ),
    "two lengths": (
        "    until:",
        "    epochs: 3\n    until:",
        (5, "phases[0].epochs", "one length, not two", "both epochs and until", "epochs: N", None),
    ),
    "half an epoch": (
        "epochs: 4",
        "epochs: 4.5",
        (11, "phases[1].epochs", "whole number", "4.5", ">= 1", None),
    ),
    "unknown metric": (
        "metric: recall",
        "metric: recal",
        (6, "phases[0].until.metric", "unknown metric", "recal", "precision, recall, f1,", "'recall'?"),
    ),
    "least above most": (
        "epochs: [2, 6]",
        "epochs: [6, 2]",
        (
            8,
            "phases[0].until.epochs",
            "the least number of epochs is above the most",
            "[6, 2]",
            "[least, most]",
            None,
        ),
    ),
    "three ends": (
        "epochs: [2, 6]",
        "epochs: [2, 4, 6]",
        (8, "phases[0].until.epochs", "is too long", "[2, 4, 6]", "a list of 2", None),
    ),
    "back above": (
        "      epochs: [2, 6]",
        "      epochs: [2, 6]\n      back_below: 0.95",
        (9, "phases[0].until.back_below", "at a worse level", "0.95", "below at_least, which is 0.9", None),
    ),
    "no phases": (
        GOOD[GOOD.index("phases") : GOOD.index("cycles")],
        "phases: []\n",
        (2, "phases", "too short", "[]", "1", None),
    ),
    "missing phases": (
        GOOD[GOOD.index("phases") : GOOD.index("cycles")],
        "",
        (1, "phases", "is missing", None, "list", None),
    ),
    "no cycle": (
        "cycles: 3",
        "cycles: 0",
        (12, "cycles", "is out of range", "0", "a whole number >= 1", None),
    ),
    "unknown version": (
        "schedule/1",
        "schedule/2",
        (
            1,
            "format",
            "this version of the format can't be read",
            "lossweep-schedule/2",
            "lossweep-schedule/1",
            None,
        ),
    ),
    "key twice": (
        "cycles: 3",
        "cycles: 3\ncycles: 4",
        (13, "cycles", "given twice, first on line 12", None, None, None),
    ),
    "not YAML": ("cycles: 3", "cycles: [3", (13, None, "is not YAML", None, None, None)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_named(case: str, tmp_path: Path) -> None:
    right, wrong, (line, key, message, found, allowed, hint) = CASES[case]
    assert GOOD.count(right) == 1
    path = tmp_path / "schedule.yaml"
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(UserError) as raised:
        load_schedule(path)
    (problem,) = raised.value.problems
    assert (problem.file, problem.line, problem.key) == (str(path), line, key)
    for part, text in (
        (message, problem.message),
        (found, problem.found),
        (allowed, problem.allowed),
        (hint, problem.hint),
    ):
        assert part is None or (text is not None and part in text), problem


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "schedule.yaml"
    path.write_text(GOOD)
    assert str(load_schedule(path)) == "focal @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x4 | 3 cycles"


def test_all_mistakes_come_at_once_in_the_order_of_lines() -> None:
    text = GOOD
    for right, wrong, _ in (
        CASES[case] for case in ("gamma below 0", "unknown metric", "unknown term", "no cycle")
    ):
        text = text.replace(right, wrong)
    with pytest.raises(UserError) as raised:
        LossSchedule.from_yaml(text, "best.yaml")
    assert [(problem.line, problem.key) for problem in raised.value.problems] == [
        (3, "phases[0].loss.gamma"),
        (6, "phases[0].until.metric"),
        (9, "phases[1].loss.term"),
        (12, "cycles"),
    ]
    assert str(raised.value).splitlines()[0] == (
        "best.yaml:3: phases[0].loss.gamma: is out of range; found -0.5; allowed: a number >= 0.0 and <= 5.0"
    )


def test_weights_are_counted_against_the_files_classes(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(GOOD.replace("gamma: 2", "weights: [1, 2]") + "classes: [background, vehicle, ship]\n")
    with pytest.raises(
        UserError, match=r"best\.yaml:3: phases\[0\]\.loss\.weights: 2 class weights for 3 classes"
    ):
        load_schedule(path)


def test_in_a_sum_the_term_that_was_written_is_named(tmp_path: Path) -> None:
    """Though a sum holds its terms in another order than the file."""
    path = tmp_path / "best.yaml"
    text = GOOD.replace(
        "{term: focal, gamma: 2}",
        """
      sum:
        - {loss: {term: jaccard}}
        - {loss: {term: focal, weights: [1, 2]}}""",
    )
    path.write_text(text + "classes: [background, vehicle, ship]\n")
    with pytest.raises(UserError, match=r"best\.yaml:6: phases\[0\]\.loss\.sum\[1\]\.loss\.weights: 2 class"):
        load_schedule(path)


def test_json_is_read_with_its_lines() -> None:
    with pytest.raises(UserError, match=r"best\.json:2: phases\[0\]\.loss\.term: unknown term 'dise'"):
        LossSchedule.from_json(
            '{"format": "lossweep-schedule/1", "phases": [\n'
            '  {"loss": {"term": "dise"}, "learning_rate": 1, "epochs": 1}]}',
            "best.json",
        )
    escaped = (
        '{"phases": [{"loss": {"term": "a.b:C", "parameters": {"\\ud800\\udc00": 1}},'
        '\t"learning_rate": 1, "epochs": 1}]}'
    )
    (phase,) = LossSchedule.from_json(escaped).phases
    assert phase == LossSchedule.from_json(escaped.replace("\t", " ")).phases[0]
    assert phase.loss_name == 'a.b:C("\U00010000"=1)'
    with pytest.raises(UserError, match="given twice"):
        LossSchedule.from_json('{"cycles": 1, "cycles": 2}')
    with pytest.raises(UserError, match=r"best\.json:1: is not JSON"):
        LossSchedule.from_json("phases: []", "best.json")
