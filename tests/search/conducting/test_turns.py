"""Whose turn it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise

import pytest

from lossweep.search.conducting.settings import ControlSearch, SearchSettings
from lossweep.search.conducting.turns import Turn, TurnKind, next_turn
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.proposing.control_space import DEFAULT_RATES, ControlSpace
from lossweep.spaces.schedules.controls import NAMED, PLAIN
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from tests.search.sweeps import SmallSpace

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
OURS = LossSchedule.parse("dice @1e-3 x12")


def settings(trials: int, *, search: bool = True, own: bool = False) -> SearchSettings:
    space = ControlSpace(DEFAULT_RATES, 12, PRIOR)
    return SearchSettings(
        space=SmallSpace(),
        objective=ObjectiveSpec(use_case="balanced"),
        pruning=PruningSpec(),
        sampler=SamplerSpec(),
        trials=trials,
        controls={"ours": OURS} if own else {},
        control_search=ControlSearch(space, 0.25, 4, SamplerSpec()) if search else None,
        named=NAMED,
    )


def names(of: SearchSettings) -> Iterator[str | None]:
    started: list[str | None] = []
    while len(started) < of.trials:
        started.append(next_turn(of, started).name)
        yield started[-1]


def test_sixteen_trials() -> None:
    assert list(names(settings(16))) == [PLAIN] * 4 + list(NAMED) + [None] * 8


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 8, 16, 24, 32, 64, 200])
def test_the_control_gets_its_share_and_never_more_than_half(trials: int) -> None:
    found = list(names(settings(trials)))
    plain = found.count(PLAIN)
    assert plain >= min(4, max(1, trials // 2))
    assert plain <= max(1, trials // 2)
    if trials >= 16:
        assert plain == trials // 4
    assert sum(name in NAMED for name in found) == min(4, trials // 4)


def test_the_rest_of_the_share_is_spread_among_the_proposals() -> None:
    found = list(names(settings(64)))
    places = [place for place, name in enumerate(found) if name == PLAIN][4:]
    gaps = {later - earlier for earlier, later in pairwise(places)}
    assert gaps == {4}


def test_a_users_baselines_come_first() -> None:
    turn = next_turn(settings(16, own=True), [])
    assert (turn.kind, turn.name) == (TurnKind.OWN, "ours")
    assert list(names(settings(16, own=True)))[:2] == ["ours", PLAIN]


def test_without_the_search_the_space_alone_proposes() -> None:
    found = list(names(settings(16, search=False)))
    assert found == list(NAMED) + [None] * 12


def test_what_comes_next_follows_from_what_was_started_in_whatever_order() -> None:
    """Two workers start trials in one order, a resumed driver reads them in another."""
    of = settings(32)
    started = list(names(of))[:20]
    assert next_turn(of, started) == next_turn(of, sorted(started, key=str))


def test_former_winners_come_after_the_named_controls_one_by_one() -> None:
    of = dataclasses.replace(settings(16), warm_start=(OURS, OURS.with_budget(3)))
    started = [PLAIN] * 4 + list(NAMED)
    assert next_turn(of, started[:-1]).kind is TurnKind.NAMED
    assert next_turn(of, started) == Turn(TurnKind.WARM_START, index=0)
    assert next_turn(of, [*started, None], 1) == Turn(TurnKind.WARM_START, index=1)
    assert next_turn(of, [*started, None, None], 2).kind is TurnKind.PROPOSAL
