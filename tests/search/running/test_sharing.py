"""How sweeps share a cluster: by priority, nothing idle that somebody can use, and everyone gets a turn."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.search.running.sharing import LOOK_EVERY_S, Claim, Share, cluster_of, shares

CLAIMS = st.lists(
    st.builds(
        Claim,
        st.text("abcdef", min_size=1, max_size=4),
        st.floats(0.1, 10.0),
        st.none() | st.integers(1, 12),
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda claim: claim.sweep,
)


@given(st.integers(1, 64), CLAIMS)
def test_slots_are_given_out_once_and_none_is_idle_that_somebody_can_use(
    slots: int, claims: list[Claim]
) -> None:
    given = shares(slots, claims)
    wanted = sum(slots if claim.at_most is None else min(slots, claim.at_most) for claim in claims)
    assert sum(given.values()) == min(slots, wanted)
    for claim in claims:
        assert 0 <= given[claim.sweep] <= (claim.at_most or slots)


@given(st.integers(1, 64), CLAIMS)
def test_everyone_gets_the_whole_slots_of_its_priority(slots: int, claims: list[Claim]) -> None:
    given, weight = shares(slots, claims), sum(claim.priority for claim in claims)
    for claim in claims:
        whole = int(slots * claim.priority / weight + 1e-9)
        assert given[claim.sweep] >= min(whole, claim.at_most or slots)


@given(st.integers(1, 64), CLAIMS)
def test_the_order_of_claims_does_not_matter(slots: int, claims: list[Claim]) -> None:
    assert shares(slots, claims) == shares(slots, claims[::-1])


@pytest.mark.parametrize(
    ("slots", "claims", "given"),
    [
        (8, [Claim("a"), Claim("b")], {"a": 4, "b": 4}),
        (8, [Claim("a", 3.0), Claim("b")], {"a": 6, "b": 2}),
        (8, [Claim("a", at_most=1), Claim("b")], {"a": 1, "b": 7}),
        (3, [Claim("a", turns=2), Claim("b", turns=1)], {"a": 1, "b": 2}),
        (1, [Claim("a", turns=1), Claim("b")], {"a": 0, "b": 1}),
    ],
)
def test_shares_by_hand(slots: int, claims: list[Claim], given: dict[str, int]) -> None:
    assert shares(slots, claims) == given


@pytest.mark.parametrize(("priority", "expected"), [(1.0, (20, 20, 20)), (2.0, (30, 15, 15))])
def test_more_sweeps_than_slots_take_turns_by_priority(priority: float, expected: tuple[int, ...]) -> None:
    claims = [Claim("a", priority), Claim("b"), Claim("c")]
    turns: Counter[str] = Counter()
    for _ in range(30):  # two slots, each free again after a trial
        given = shares(2, [replace(claim, turns=turns[claim.sweep]) for claim in claims])
        turns.update(given)
    for claim, wanted in zip(claims, expected, strict=True):
        assert abs(turns[claim.sweep] - wanted) <= 1


def test_a_share_is_looked_up_now_and_then_and_a_change_is_said(caplog: pytest.LogCaptureFixture) -> None:
    now, looked, claims = [0.0], [0], [Claim("mine")]

    def look() -> list[Claim]:
        looked[0] += 1
        return list(claims)

    share = Share("mine", look, clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        assert [share(4), share(4)] == [4, 4]
        assert looked == [1]
        assert not caplog.text
        claims.append(Claim("other"))
        assert share(4) == 4
        now[0] += LOOK_EVERY_S
        assert share(4) == 2
        assert share(4) == 2
        assert caplog.text.count("Sharing the cluster with other: up to 2 of 4") == 1
        claims.pop()
        now[0] += LOOK_EVERY_S
        assert share(4) == 4
        assert "The cluster is this sweep's alone" in caplog.text


def test_a_cluster_is_called_by_the_address_that_its_jobs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert [cluster_of(None), cluster_of("auto"), cluster_of("h:1")] == ["", "auto", "h:1"]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster_of("auto") == "10.0.0.1:6379"
