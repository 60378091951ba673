"""What init writes is what it proposed, whatever the data are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lossweep.search.starting.budget import Budget
from lossweep.search.starting.cutting import Cutting, cut
from lossweep.search.starting.demo import demo_text
from lossweep.search.starting.models import choices
from lossweep.search.starting.proposal import Proposal
from lossweep.search.starting.sweep_text import sweep_text
from lossweep.search.starting.wishes import Machine, Wishes, likely_use_case, name_from
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.yaml_source import parse_yaml
from lossweep.trainers.data.checking.objects import ObjectSizes
from lossweep.trainers.data.checking.report import DataReport, SplitReport

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
COLORS = st.integers(1, 65535) | st.lists(st.integers(1, 65535), min_size=3, max_size=3)


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    classes = draw(
        st.lists(WORDS, min_size=2, max_size=6, unique=True).filter(lambda found: "ignore" not in found)
    )
    data: dict[str, Any] = {"source": "folder", "root": draw(WORDS), "classes": classes}
    if draw(st.booleans()):
        grey = st.lists(st.integers(1, 65535), min_size=len(classes), max_size=len(classes), unique=True)
        data["colors"] = dict(zip(classes[1:], draw(grey), strict=False))
    if draw(st.booleans()):
        data["layout"] = {"images": "a/{name}.*", "masks": "b/{name}_m.*"}
        data["split"] = {"train": 0.7, "val": 0.15, "test": 0.15, "seed": 3}
    machine = Machine(draw(st.integers(1, 64)), draw(st.integers(0, 8)), draw(WORDS))
    tile, hours = 32 * draw(st.integers(1, 16)), draw(st.floats(0.01, 1000.0))
    options = choices(machine.gpus > 0, tile, hours)
    covering = draw(st.integers(1, 300))
    budget = Budget(
        draw(st.integers(1, covering)),
        draw(st.integers(1, 256)),
        draw(st.integers(4, 60)),
        draw(st.sampled_from([0, 1, 3])),
        draw(st.floats(0.01, 1e5)),
        draw(st.floats(0.01, 1e4)),
    )
    use_case = draw(st.sampled_from(["balanced", "counting", "needle", "no_false_alarms"]))
    wishes = Wishes(name_from(draw(WORDS)), use_case, hours)
    cutting = Cutting(tile, covering, draw(st.sampled_from([0.0, 0.5])), draw(WORDS))
    return Proposal(wishes, machine, data, cutting, draw(st.sampled_from(options)), budget)


@given(proposals(), st.lists(WORDS, max_size=4), WORDS)
def test_what_is_written_reads_back_as_what_was_proposed(
    proposal: Proposal, found: list[str], file: str
) -> None:
    text = sweep_text(proposal, found, file)
    assert parse_yaml(text).data == proposal.sweep()
    assert yaml.safe_load(text) == proposal.sweep()
    read = SweepSpec.read(parse_yaml(text), Path("/somewhere"))
    assert read == proposal.spec(Path("/somewhere"))
    assert read.data.classes == tuple(proposal.data["classes"])


@given(st.text(max_size=80))
def test_any_folder_gives_a_name_that_a_sweep_may_have(folder: str) -> None:
    import re

    from lossweep.search.sweep_spec import NAME_PATTERN

    assert re.match(NAME_PATTERN, name_from(folder))


def report(side: int, area: float, fraction: float, each_image: float, classes: int = 2) -> DataReport:
    objects = (
        ObjectSizes(0, (), 0),
        *(ObjectSizes(int(100 * each_image), (area / 2, area, area), int(area)),) * (classes - 1),
    )
    fractions = (1 - fraction, *(fraction / (classes - 1),) * (classes - 1))
    split = SplitReport("train", 100, ((side, side),), fractions, (100,) * classes, 0.0, 0, objects)
    return DataReport(tuple(f"c{i}" for i in range(classes)), 1, splits=(split,))


@pytest.mark.parametrize(
    ("of", "gpu", "tile", "bias"),
    [
        ((512, 276.0, 0.0006, 1.2), False, 128, 0.5),  # tiny targets
        ((2000, 90_000.0, 0.3, 2.0), False, 256, 0.0),  # large objects, held to what a CPU trains
        ((2000, 10_000.0, 0.3, 2.0), True, 416, 0.0),
        ((180, 9000.0, 0.3, 2.0), True, 160, 0.0),  # never larger than the image
        ((20, 30.0, 0.3, 2.0), False, 32, 0.0),
    ],
)
def test_crops_follow_the_objects(
    of: tuple[int, float, float, float], gpu: bool, tile: int, bias: float
) -> None:
    found = cut(report(*of), gpu)
    assert (found.tile, found.bias) == (tile, bias)
    assert found.covering == max(1, round((of[0] / tile) ** 2))


def test_a_use_case_is_guessed_from_what_the_masks_show() -> None:
    assert likely_use_case(report(512, 276.0, 0.0006, 1.2))[0] == "needle"
    assert likely_use_case(report(512, 276.0, 0.02, 9.0))[0] == "counting"
    assert likely_use_case(report(512, 90_000.0, 0.4, 1.0))[0] == "balanced"
    assert likely_use_case(report(512, 276.0, 0.0006, 9.0, classes=3))[0] == "balanced"


def test_the_demo_is_the_example_of_the_readme() -> None:
    example = Path(__file__).parents[3] / "examples" / "scenes.yaml"
    assert demo_text() == example.read_text(encoding="utf-8")
