"""What may stand under `sampler:`."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lossweep.search.sampling import SamplerSpec
from tests.ranges import check_range


def test_at_least_one_proposal_is_drawn_at_random() -> None:
    check_range(lambda value: SamplerSpec(startup=value), "[1, )")


def test_the_defaults_are_those_of_the_documentation() -> None:
    spec = SamplerSpec()
    assert (spec.sampler, spec.startup, spec.ahead, spec.parameters) == ("tpe", 10, True, {})


def test_a_sampler_is_named_imported_or_from_the_hub() -> None:
    named = ("tpe", "cost_aware", "random", "gp", "cmaes", "nsga2", "nsga3")
    for name in (*named, "mine:Sampler", "hub:samplers/auto"):
        assert SamplerSpec(sampler=name).sampler == name
    with pytest.raises(
        ValidationError, match=r"unknown sampler 'tp'; allowed: tpe, cost_aware, .*module:Class"
    ):
        SamplerSpec(sampler="tp")


@pytest.mark.parametrize("key", ["seed", "n_startup_trials"])
def test_what_follows_from_other_keys_is_no_parameter(key: str) -> None:
    with pytest.raises(ValidationError, match=f"'{key}'.* follow from the sweep's seed and from startup"):
        SamplerSpec(parameters={key: 1, "gamma": 2})
    assert SamplerSpec(parameters={"gamma": 2}).parameters == {"gamma": 2}


def test_a_registry_is_for_the_hub_and_starts_at_the_sweep_file(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"a registry holds samplers named hub:\.\.\., but got 'tpe'"):
        SamplerSpec(registry="packages")
    spec = SamplerSpec(sampler="hub:samplers/auto", registry="packages")
    assert spec.resolve(tmp_path).registry == str((tmp_path / "packages").resolve())
    assert SamplerSpec().resolve(tmp_path) == SamplerSpec()
