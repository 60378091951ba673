"""The one-line form: how it reads, what it forgives and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.numbers import number
from lossweep.spaces.schedules.schedule import LossSchedule


@settings(max_examples=300)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_exact_and_short(value: float) -> None:
    assert float(number(value)) == value
    assert len(number(value)) <= len(repr(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "1e-3"),
        (1e-05, "1e-5"),
        (0.0011, "0.0011"),
        (0.9, "0.9"),
        (3.0, "3"),
        (42.7, "42.7"),
        (-0.0, "0"),
        (100.0, "100"),
        (1e22, "1e22"),
        (7, "7"),
    ],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    "line",
    [
        "cross_entropy @1e-3 x8",
        "weighted_ce(power=0.7) @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x4 | 3 cycles | 30 epochs",
        "weighted_ce(beta=0.999, cap=50) @1e-3 x1 | 1 epoch",
        "focal(gamma=3, alpha=0.75) @1e-3 until count_error<=0.1 in 1..9 back >0.3 cosine warmup 50 fresh",
        "focal(gamma=0.5, weights=[1, 42.7]) @2e-3 x4",
        "cross_entropy + 0.5*dice(reduction=image) @1e-3 x3",
        "cross_entropy + 0.01..1*dice @1e-3 x4 cosine -> cosine(1..0)*cross_entropy + 1e-3..2*dice @1e-3 x4",
        "focal(gamma=0..2, alpha=cosine(0.25..0.75)) @1e-3 until recall>=0.9 in 1..6",
        "weighted_ce(power=1..0, cap=30) @1e-3 x4 -> tversky(alpha=0.3..0.7, beta=0.7..0.3) @1e-4 x2",
        "0.1..1*dice + per_object(focal(gamma=0..2, power=cosine(1..0)), way=blobs) @1e-3 x2",
        'my.losses:Edge(width={"from": 1, "to": 2}) @1e-3 x2',
        'my.losses:Edge(width=3, mode="soft", deep={"a": [1, 2.5, null]}) @1e-3 x2',
        'jaccard @1 until "recall/small car">=0.5 in 1..2 -> dice @1 x1',
        "jaccard @1 until recall/vehicle>=0.5 in 1..2 -> dice @1 x1",
        "jaccard @1 until fbeta_0.5/vehicle>=0.5 in 1..2 -> dice @1 x1",
    ],
)
def test_lines_are_written_as_they_are_read(line: str) -> None:
    assert str(LossSchedule.parse(line)) == line


@pytest.mark.parametrize(
    ("loose", "line"),
    [
        ("  jaccard@1e-4x4  ", "jaccard @1e-4 x4"),
        ("jaccard ( ) @ 0.0001 x 4|2 cycles", "jaccard @1e-4 x4 | 2 cycles"),
        ("dice+0.5 * jaccard @1 x1 fresh cosine", "0.5*jaccard + dice @1 x1 cosine fresh"),
        ("jaccard @1 until recall >= .5 in 1 .. 2", "jaccard @1 until recall>=0.5 in 1..2"),
        ("dice @1 x1 | 4 epochs | 2 cycles", "dice @1 x1 | 2 cycles | 4 epochs"),
        ("dice @1 x1->dice @1 x1", "dice @1 x1 | 2 cycles"),
        ("weighted_ce(power=.7)@.001x1", "weighted_ce(power=0.7) @1e-3 x1"),
        ("dice+ linear( .5 .. 1. )*jaccard @1x1", "0.5..1*jaccard + dice @1 x1"),
        ("dice+cosine (1...5) * jaccard@1x1", "cosine(1..0.5)*jaccard + dice @1 x1"),
        ("focal(gamma=2e0..2,alpha=.5..1e-1)@1x1", "focal(alpha=0.5..0.1) @1 x1"),
    ],
)
def test_blanks_and_order_are_free(loose: str, line: str) -> None:
    assert str(LossSchedule.parse(loose)) == line


@pytest.mark.parametrize(
    ("line", "found", "allowed"),
    [
        ("", "the end of the line", "a loss term"),
        ("dice", "the end of the line", "+, or @ and the learning rate"),
        ("dice @fast x2", "fast x2", "a learning rate such as 1e-3"),
        ("dice @1", "the end of the line", "a length: xN, or until METRIC>=LEVEL in LEAST..MOST"),
        ("dice @1 x2 ->", "the end of the line", "a loss term"),
        ("dice @1 x2.5", "2.5", "a number of epochs"),
        ("dice @1 x2 twice", "twice", "->, | N cycles, | N epochs, or the end"),
        ("dice @1 x2 | 2 rounds", "rounds", "cycles or epochs"),
        ("dice @1 x2 | 2 cycles | 3 cycles", "the end of the line", "cycles only once"),
        ("dice @1 until recall<=0.9 in 1..2", "<=0.9 in 1..2", ">= and a level, for recall"),
        ("dice @1 until count_error>=0.9 in 1..2", ">=0.9 in 1..2", "<= and a level, for count_error"),
        ("dice @1 until recall>=0.9", "the end of the line", "in LEAST..MOST"),
        ("dice(smooth) @1 x2", ") @1 x2", "= and a value"),
        ("dice(smooth=) @1 x2", ") @1 x2", "a value: a number, a word, true, false, null, or JSON"),
        ("dice(smooth=1 @1 x2", "@1 x2", ", or )"),
        ("dice(smooth=1, smooth=2) @1 x2", "=2) @1 x2", "smooth only once"),
        ("weighted_ce(power=1, weights=[1, 2]) @1 x2", "@1 x2", "weights, or power, not both"),
        ("dice @1 x2 cosine constant", "the end of the line", "constant, cosine or drop only once"),
        ("dice @1 x2 drop cosine", "the end of the line", "constant, cosine or drop only once"),
        ("dice @1 x2 warmup 3 warmup 4", "4", "warmup only once"),
        ("focal(gamma=1..) @1 x2", "..) @1 x2", ", or )"),
        ("focal(gamma=drop(1..2)) @1 x2", "(1..2)) @1 x2", ", or )"),
        ("dice + 1..*jaccard @1 x2", "1..*jaccard @1 x2", "a loss term"),
        ("dice + cosine(1..2 * jaccard @1 x2", "1..2 * jaccard @1 x2", "a parameter's name"),
        ("my.losses:Edge(width=1..2) @1 x2", "..2) @1 x2", ", or )"),
        ("0.1..2*dice @1 x2", "@1 x2", "+ and another term: a weight stands in a sum only"),
        ("2*dice @1 x2", "@1 x2", "+ and another term: a weight stands in a sum only"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_place(line: str, found: str, allowed: str) -> None:
    with pytest.raises(UserError) as raised:
        LossSchedule.parse(line)
    (problem,) = raised.value.problems
    assert (problem.found, problem.allowed) == (found, allowed)
    assert problem.message.startswith("the schedule's line can't be read at character ")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("jacard @1 x2", "phases[0].loss.term"),
        ("focal(gama=2) @1 x2", "phases[0].loss.gama"),
        ("dice @1 x2 -> focal(gamma=9) @1 x2", "phases[1].loss.gamma"),
        ("focal(gamma=1..9) @1 x2", "phases[0].loss.gamma.to"),
        ("dice + 1..0*jaccard + -1..0*mcc @1 x2", "phases[0].loss.sum[2].weight.from"),
        ("dice @1 until recal>=0.9 in 1..2", "phases[0].until.metric"),
        ("dice @1 until recall>=0.9 in 4..2", "phases[0].until.epochs"),
        ("dice @100 x0", "phases[0].learning_rate"),
    ],
)
def test_what_is_no_valid_schedule_names_its_key(line: str, key: str) -> None:
    with pytest.raises(UserError) as raised:
        LossSchedule.parse(line)
    assert raised.value.problems[0].key == key
