"""Samplers from OptunaHub, without the network: from a folder of packages, and from OptunaHub's own cache."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.hub import load_from_hub
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.errors import UserError
from tests.search.sampling.test_sampling import run

PACKAGE = """\
from optuna.samplers import RandomSampler
from .halves import rounded


class HalvesSampler(RandomSampler):
    \"\"\"Proposes as at random, from a seed of its own making.\"\"\"

    def __init__(self, offset: int = 0, seed: int | None = None) -> None:
        super().__init__(seed=rounded(seed or 0) + offset)


__all__ = ["HalvesSampler"]
"""

SWEEP = """\
name: mine
data: {source: scenes}
space: {preset: single}
objective: {use_case: balanced}
sampler: {sampler: "hub:samplers/halves", registry: registry, parameters: {offset: 1}}
budget: {trials: 2, epochs: 2}
"""


def publish(registry: Path, name: str, source: str = PACKAGE) -> Path:
    """Lay a package out as OptunaHub's registry does."""
    folder = registry / "samplers" / name
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\ntitle: halves\n---\n")
    (folder / "halves.py").write_text("def rounded(seed):\n    return seed // 2\n")
    (folder / "__init__.py").write_text(source)
    return registry


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return publish(tmp_path / "registry", "halves")


def test_a_hub_sampler_proposes_a_sweep_and_repeats_itself(registry: Path) -> None:
    spec = SamplerSpec(sampler="hub:samplers/halves", registry=str(registry))
    first = run(spec)
    assert first == run(spec)
    assert len(set(first)) > 4
    assert run(spec.model_copy(update={"parameters": {"offset": 1}})) != first


def test_a_package_that_was_downloaded_once_is_taken_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(tmp_path))
    publish(tmp_path / "github.com" / "optuna" / "optunahub-registry" / "main" / "package", "cached")
    sampler = Sampling(SamplerSpec(sampler="hub:samplers/cached:HalvesSampler"), 0, 1).sampler(0)
    assert type(sampler).__name__ == "HalvesSampler"


def test_the_registry_lies_beside_the_sweep_file_and_mistakes_have_their_line(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    with pytest.raises(UserError) as caught:
        SweepSpec.load(path)
    said = str(caught.value)
    assert "sweep.yaml:5: sampler.sampler: could not be loaded from" in said
    assert "is its name right?" in said
    publish(tmp_path / "registry", "halves")
    spec = SweepSpec.load(path)
    assert spec.sampler.registry == str(tmp_path / "registry")
    path.write_text(SWEEP.replace("offset", "ofset"))
    with pytest.raises(UserError, match=r"sweep\.yaml:5: sampler\.parameters: cannot be built"):
        SweepSpec.load(path)


TWO = PACKAGE + "\n\nclass Other(RandomSampler):\n    pass\n"


@pytest.mark.parametrize(
    ("source", "path", "says"),
    [
        (PACKAGE, "hub:", "names no package.*allowed: hub:samplers/NAME or"),
        (PACKAGE, "hub:samplers/x:HalvesSamplr", "did you mean 'HalvesSampler'"),
        (
            TWO,
            "hub:samplers/x",
            "has 2 samplers: name one.*hub:samplers/x:HalvesSampler, hub:samplers/x:Other",
        ),
        ("import optuna\n", "hub:samplers/x", "has 0 samplers"),
        ("import no_such_library\n", "hub:samplers/x", "it needs the module 'no_such_library': install it"),
        ("raise RuntimeError('no\\nlicence')\n", "hub:samplers/x", "RuntimeError: no licence"),
        (PACKAGE, "hub:samplers/y", "could not be loaded.*is its name right"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(tmp_path: Path, source: str, path: str, says: str) -> None:
    publish(tmp_path, "x", source)
    with pytest.raises(UserError, match=says) as caught:
        load_from_hub(path, "sampler.sampler", str(tmp_path))
    assert str(caught.value).startswith("sampler.sampler: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_download_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optunahub

    def unreachable(package: str) -> None:
        raise ConnectionError(f"no route to {package}\n  on stderr")

    monkeypatch.setattr(optunahub, "load_module", unreachable)
    with pytest.raises(UserError) as caught:
        load_from_hub("hub:samplers/far", "sampler.sampler")
    expected = "could not be loaded from OptunaHub; found 'hub:samplers/far'; ConnectionError: no route to"
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_without_optunahub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(UserError, match=r"needs OptunaHub.*pip install 'lossweep\[hub\]'"):
        load_from_hub("hub:samplers/x", "sampler.sampler")
