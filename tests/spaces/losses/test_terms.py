"""The loss terms as data, and their catalog."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from lossweep.spaces.losses.catalog import catalog
from lossweep.spaces.losses.terms import (
    KNOWN_TERMS,
    Compound,
    CrossEntropy,
    Dice,
    EffectiveNumberWeights,
    Focal,
    FrequencyWeights,
    ImportedLoss,
    Jaccard,
    KnownTerm,
    Loss,
    WeightedTerm,
    family,
)

LOSS: TypeAdapter[Loss] = TypeAdapter(Loss)


@pytest.mark.parametrize("term", KNOWN_TERMS)
def test_every_term_documents_itself(term: Any) -> None:
    for text in (term.__doc__, term.formula, term.source, term.when):
        assert len(text) > 10
    for name, info in term.model_fields.items():
        assert name == "term" or info.description


def test_the_catalog_lists_all_terms() -> None:
    entries = {entry.term: entry for entry in catalog()}
    union, _ = get_args(KnownTerm)
    assert len(KNOWN_TERMS) == len(get_args(union)) == 14
    assert list(entries) == [
        *(str(term.model_fields["term"].default) for term in KNOWN_TERMS),
        "sum",
        "package.module:Name",
    ]
    gamma = next(parameter for parameter in entries["focal"].parameters if parameter.name == "gamma")
    assert (gamma.range, gamma.default) == ("a number >= 0.0 and <= 5.0; or {from: ..., to: ...}", "2")
    weights = entries["weighted_ce"].parameters[0]
    assert (weights.name, weights.default) == ("weights", "required")
    assert all(
        parameter.range and parameter.meaning for entry in entries.values() for parameter in entry.parameters
    )


def test_catalog_ranges_are_those_that_are_checked() -> None:
    """A term takes a value at an included end of a listed range, and refuses one just outside."""
    checked = 0
    for entry in catalog():
        for parameter in entry.parameters:
            for sign, bound in re.findall(r"([<>]=?) (-?[\d.]+)", parameter.range):
                required = {"weights": {"power": 1}} if entry.term == "weighted_ce" else {}
                data = {"term": entry.term, **required}
                if entry.term == "sum" or not parameter.range.startswith("a number"):
                    continue
                outside = float(bound) + (1e-9 if sign[0] == "<" else -1e-9)
                with pytest.raises(ValidationError):
                    LOSS.validate_python({**data, parameter.name: outside})
                if sign.endswith("="):
                    LOSS.validate_python({**data, parameter.name: float(bound)})
                checked += 1
    assert checked > 20


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ({"term": "jaccard"}, Jaccard()),
        ({"term": "focal", "weights": {"power": 1}}, Focal(weights=FrequencyWeights(power=1.0))),
        ({"term": "focal", "weights": {"beta": 0.9}}, Focal(weights=EffectiveNumberWeights(beta=0.9))),
        ({"term": "focal", "weights": [1, 2]}, Focal(weights=(1.0, 2.0))),
        ({"term": "a.b:C"}, ImportedLoss(term="a.b:C")),
        (
            {"sum": [{"loss": {"term": "dice"}}, {"weight": 2, "loss": {"term": "cross_entropy"}}]},
            Compound(sum=(WeightedTerm(weight=2.0, loss=CrossEntropy()), WeightedTerm(loss=Dice()))),
        ),
    ],
)
def test_losses_are_read_from_plain_data(data: dict[str, Any], loss: Loss) -> None:
    read = LOSS.validate_python(data)
    assert read == loss
    assert hash(read) == hash(loss)
    assert LOSS.validate_python(LOSS.dump_python(read, mode="json")) == loss
    assert LOSS.validate_json(LOSS.dump_json(read)) == loss


@pytest.mark.parametrize(
    "data",
    [
        {"term": "nothing"},
        {"term": "a:b:c"},
        {"term": ".a:B"},
        {"term": "a..b:C"},
        {"term": "a.b:C", "parameters": {"x": float("nan")}},
        {"term": "a.b:C", "parameters": {"x": object()}},
        {"term": "weighted_ce"},
        {"term": "focal", "alpha": 1.0},
        {"term": "dice", "smooth": 0},
        {"term": "dice", "smooth": float("inf")},
        {"sum": [{"loss": {"term": "dice"}}]},
        {"sum": [{"loss": {"term": "dice"}}, {"loss": {"sum": []}}]},
        {"sum": [{"loss": {"term": "dice"}}, {"weight": 0, "loss": {"term": "jaccard"}}]},
    ],
)
def test_wrong_losses_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LOSS.validate_python(data)


def test_imported_parameters_compare_as_they_are_written() -> None:
    def imported(**parameters: Any) -> ImportedLoss:
        return ImportedLoss(term="a.b:C", parameters=parameters)

    assert imported(x=3.0, y=[1.0]) == imported(y=[1], x=3)
    assert hash(imported(x=3.0)) == hash(imported(x=3))
    assert imported(x=True) != imported(x=1)
    assert imported() != Jaccard()


def test_families() -> None:
    assert family(Jaccard()) == "jaccard"
    assert family(ImportedLoss(term="a.b:Edge")) == "a.b:Edge"
    assert (
        family(Compound(sum=(WeightedTerm(loss=Dice()), WeightedTerm(loss=CrossEntropy()))))
        == "cross_entropy+dice"
    )
