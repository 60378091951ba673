"""Seeds are what they always were: recorded sweeps go on with the numbers that they began with."""

from __future__ import annotations

import pytest

from lossweep.spaces.seeds import derived_seed, derived_share, short_seed


@pytest.mark.parametrize(
    ("seed", "purpose", "derived", "short"),
    [
        (0, (), 3456079177858693020, 804681139),
        (7, ("trial", 3), 3086765575756848093, 718693615),
        (2**40, ("epoch", 1, "weights"), 161989913672755606, 37716215),
    ],
)
def test_seeds_keep_their_values(seed: int, purpose: tuple[int | str, ...], derived: int, short: int) -> None:
    assert derived_seed(seed, *purpose) == derived
    assert short_seed(seed, *purpose) == short
    assert derived_share(seed, *purpose) == short / 2**31


def test_every_purpose_has_a_seed_of_its_own() -> None:
    purposes = [("trial", number) for number in range(500)] + [("epoch", number) for number in range(500)]
    assert len({short_seed(0, *purpose) for purpose in purposes}) == 1000
