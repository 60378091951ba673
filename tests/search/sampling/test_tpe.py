from __future__ import annotations

from collections.abc import Iterator

import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling import tpe as tpe_module
from lossweep.search.sampling.proposals import Mirror
from lossweep.search.sampling.steady_tpe import SteadyTPESampler
from lossweep.search.study import optuna_private
from tests.search.sweeps import SmallSpace


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    tpe_module._steady.cache_clear()
    yield
    tpe_module._steady.cache_clear()


def proposals() -> tuple[list[dict[str, object]], type]:
    """What a sweep is proposed, and by what."""
    sampling = Sampling(SamplerSpec(startup=4), 0, 1)
    mirror = Mirror(["maximize"], SmallSpace(), sampling)
    found = []
    for number in range(16):
        trial = mirror.propose()[1]
        found.append(dict(trial.params))
        if number % 3:  # every third one goes on running
            mirror.finish(number, TrialState.COMPLETE, [(number * 7 % 5) / 5], {}, {})
    return found, type(sampling.sampler(16))


@pytest.mark.parametrize(
    ("table", "name", "parameters"),
    [
        ("TPE_CALLABLES", "optuna.samplers:TPESampler._sample_by_hand", ("self",)),
        ("TPE_CALLABLES", "optuna.samplers._tpe._gone:_log_gauss_mass", ("a", "b")),
        ("TPE_ATTRIBUTES", "_gone", None),
    ],
)
def test_without_its_private_parts_tpe_is_optunas_own_and_proposes_the_same(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    table: str,
    name: str,
    parameters: tuple[str, ...] | None,
) -> None:
    steady, kind = proposals()
    assert kind is SteadyTPESampler
    assert not caplog.records
    known = getattr(optuna_private, table)
    changed = {**known, name: parameters} if parameters else (*known, name)
    monkeypatch.setattr(optuna_private, table, changed)
    tpe_module._steady.cache_clear()
    own, kind = proposals()
    assert kind is TPESampler
    assert own == steady
    (warning,) = caplog.records
    assert name in warning.getMessage()
