"""A file put into its folder is a part of lossweep's own: nothing else is edited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to put files into."""
    copied = tmp_path / "copy" / "lossweep"
    shutil.copytree(ROOT / "lossweep", copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def run(copy: Path, code: str) -> None:
    there = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=there, cwd=copy.parent, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr


GUARD = """\
from lossweep.trainers.guards.rule import Evidence, Rule


class Planted(Rule):
    place = 99
    name = "planted"
    fires_when = "always"

    def on_step(self, step):
        return Evidence("planted")
"""


def test_a_guard(copy: Path) -> None:
    (copy / "trainers" / "guards" / "rules" / "planted.py").write_text(GUARD)
    run(
        copy,
        """
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.guards import build_guards
from lossweep.trainers.guards.spec import GuardSpec
assert list(GuardSpec.model_fields)[-1] == "planted"
prior = ClassPrior(names=("ground", "car"), frequencies=(0.99, 0.01))
assert build_guards(GuardSpec(), prior).on_step(1, 0.5, 1.0).rule == "planted"
assert build_guards(GuardSpec.model_validate({"planted": None}), prior).on_step(1, 0.5, 1.0) is None
""",
    )


TERM = """\
from typing import Literal

from lossweep.spaces.losses.class_weights import FrequencyWeights
from lossweep.spaces.losses.term import Term


class Planted(Term):
    \"\"\"A planted loss.\"\"\"

    place = 99
    formula = "w mean(p)"
    source = "this test"
    when = "never"
    short_name = "plant"
    color = "#123456"

    term: Literal["planted"] = "planted"
    weights: FrequencyWeights = FrequencyWeights(power=0.5)
"""
COMPUTED = """\
from lossweep.spaces.losses.families.planted import Planted
from lossweep.trainers.losses.term import Term, build_term


class PlantedTerm(Term):
    def __init__(self, power):
        super().__init__()
        self.constant("power", power)

    def forward(self, found):
        return found.logits.sigmoid().mean() * self.power


@build_term.register
def _planted(loss: Planted, prior) -> Term:
    return PlantedTerm(loss.weights.power)
"""


def test_a_loss_is_two_as_its_data_is_read_without_torch(copy: Path) -> None:
    (copy / "spaces" / "losses" / "families" / "planted.py").write_text(TERM)
    (copy / "trainers" / "losses" / "families" / "planted.py").write_text(COMPUTED)
    run(
        copy,
        """
import sys
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.catalog import catalog
from lossweep.spaces.schedules.schedule import LossSchedule
schedule = LossSchedule.parse("planted(power=0.7) + jaccard @1e-3 x2")
assert str(schedule) == "jaccard + planted(power=0.7) @1e-3 x2", schedule
assert LossSchedule.from_yaml(schedule.to_yaml()) == schedule
assert catalog()[-3].term == "planted"
from lossweep.dashboards.families import family_color, short_name
assert (family_color("planted"), short_name("jaccard+planted")) == ("#123456", "Jaccard+plant")
assert "torch" not in sys.modules
import torch
from lossweep.trainers.losses import build_loss
loss = build_loss(schedule.phases[0].loss, ClassPrior(names=("ground", "car"), frequencies=(0.9, 0.1)))
parts = loss.parts(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
assert list(parts) == ["jaccard", "planted"] and abs(float(parts["planted"]) - 0.35) < 1e-6, parts
""",
    )


SOURCE = """\
from typing import Literal

from lossweep.trainers.data.source_spec import SourceSpec


class PlantedSource(SourceSpec):
    place = 99
    reader = f"{__name__}:Planted"

    source: Literal["planted"]
    count: int = 3


class Planted:
    def __init__(self, spec):
        self.count = spec.count

    def listing(self):
        from lossweep.trainers.data.sources.source import Item, Listing
        return Listing(tuple(Item(str(i), split, i) for split in ("train", "val") for i in range(self.count)))

    def content_key(self, listing, cache, progress):
        return f"planted/{self.count}"

    def glance(self, item):
        return ()

    def decode(self, item):
        import numpy as np
        from lossweep.trainers.data.sources.source import Decoded
        mask = np.zeros((32, 32), np.uint8)
        mask[item.place :, :9] = 1
        return Decoded(np.full((32, 32, 3), item.place, np.uint8), mask)
"""


def test_a_source_of_data(copy: Path, tmp_path: Path) -> None:
    (copy / "trainers" / "data" / "specs" / "planted.py").write_text(SOURCE)
    run(
        copy,
        f"""
import sys
from pathlib import Path
from pydantic import TypeAdapter
from lossweep.trainers.data.spec import DataSpec
spec = TypeAdapter(DataSpec).validate_python({{"source": "planted", "count": 4, "tile": 32}})
assert "numpy" not in sys.modules
from lossweep.trainers.data.loading import load_data
data = load_data(spec, Path({str(tmp_path / "cache")!r}))
assert (len(data.train), data.channels) == (4, 3)
""",
    )
