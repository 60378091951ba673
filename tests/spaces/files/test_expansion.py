"""Files of a few hundred bytes that would fill a machine's memory: refused before they are unfolded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.expansion import MOST_ADDED, check_expansion
from lossweep.spaces.files.yaml_source import LARGEST_FILE, load_yaml, parse_json, parse_yaml
from lossweep.spaces.schedules.schedule_file import load_schedule


def doubling(first: str, again: str, levels: int = 30) -> str:
    """Anchors of which each holds the one before it several times."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{level}: &a{level} {again.replace('*', f'*a{level - 1}')}" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


BOMBS = {
    "lists": doubling("[x, x]", "[*, *, *]"),
    "mappings": doubling("{x: 1, y: 2}", "{l: *, r: *}"),
    "merged mappings": doubling("{x: 1}", "{<<: [*, *]}"),
    "a merge in a merge": doubling("{x: 1}", "{<<: [*, {<<: *}], y: 1}"),
    "long words": doubling("[" + "w" * 3000 + "]", "[*, *]", 20),
    "keys": "a: &a [x, x, x]\n" + doubling("[*a, *a]", "[*, *, [*, *]]").replace("a0: &a0", "b: &a0"),
    "one line": "x: [&a [1, 1], "
    + ", ".join(f"&{now} [{', '.join(8 * [f'*{last}'])}]" for last, now in pairwise("abcdefgh"))
    + "]",
}


@pytest.mark.parametrize("read", [load_yaml, load_schedule, SweepSpec.load])
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_unfolds_to_too_much_is_refused(
    bomb: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(BOMBS[bomb])
    tracemalloc.start()
    with pytest.raises(UserError, match=r"bomb\.yaml:\d+: comes to too much when its aliases"):
        read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * 2**20


def test_settings_of_the_command_line_and_json_are_bounded_too() -> None:
    with pytest.raises(UserError, match="comes to too much"):
        parse_yaml(BOMBS["one line"])
    big = "[" + ",".join(["1"] * (MOST_ADDED // 10)) + "]"
    assert len(parse_json(big).data) == MOST_ADDED // 10


def test_the_line_is_that_of_what_is_too_large() -> None:
    with pytest.raises(UserError, match=r"^x.yaml:16: .*found 131,071 values; allowed: 100,000 more"):
        parse_yaml(doubling("[x, x]", "[*, *]"), "x.yaml")


@pytest.mark.parametrize("kind", ["list", "mapping"])
def test_a_large_file_without_aliases_is_what_it_is(kind: str) -> None:
    count = 2000
    text = "[" + ", ".join("1" for _ in range(count)) + "]" if kind == "list" else ""
    text = text or "\n".join(f"k{index}: &k{index} {{x: 1}}" for index in range(count))
    assert len(parse_yaml(text).data) == count


def test_aliases_as_people_use_them_are_followed() -> None:
    text = "base: &base {rate: 1e-3, epochs: 4}\nphases:\n" + "  - {<<: *base, loss: x}\n" * 200
    data = parse_yaml(text).data
    assert len(data["phases"]) == 200
    assert data["phases"][-1] == {"rate": 1e-3, "epochs": 4, "loss": "x"}


TREES = st.recursive(
    st.sampled_from(["x", "word", "w" * 250]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def _weight(data: object) -> int:
    if isinstance(data, str):
        return 1 + len(data) // 100
    if isinstance(data, dict):
        return 1 + sum(_weight(key) + _weight(value) for key, value in data.items())
    assert isinstance(data, list)
    return 1 + sum(map(_weight, data))


@given(TREES, st.integers(1, 6))
def test_what_is_refused_is_what_the_aliases_add(tree: object, times: int) -> None:
    """Against data of which the very same object stands in several places, counted one by one."""
    shared = [tree] * times
    text = yaml.safe_dump({"a": tree, "b": shared, "c": [shared, shared]})
    node = yaml.compose(text)
    assert node is not None
    check_expansion(node, None)  # far below the bound
    data = yaml.safe_load(text)
    added = _weight(data) - sum(_own for _own in _written(node))
    limit = pytest.MonkeyPatch()
    try:
        if added > 0:
            limit.setattr("lossweep.spaces.files.expansion.MOST_ADDED", added - 1)
            with pytest.raises(UserError):
                check_expansion(node, None)
        limit.setattr("lossweep.spaces.files.expansion.MOST_ADDED", added)
        check_expansion(node, None)
    finally:
        limit.undo()


def _written(root: yaml.Node) -> list[int]:
    """The weight of each node, each once."""
    seen: dict[int, int] = {}

    def walk(node: yaml.Node) -> None:
        if id(node) in seen:
            return
        seen[id(node)] = 1 + len(node.value) // 100 if isinstance(node, yaml.ScalarNode) else 1
        for part in node.value if not isinstance(node, yaml.ScalarNode) else ():
            for each in part if isinstance(part, tuple) else (part,):
                walk(each)

    walk(root)
    return list(seen.values())


def test_a_file_that_cannot_be_one_of_ours_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("#" * (LARGEST_FILE + 1))
    with pytest.raises(UserError, match=r"large\.yaml: is too large.*allowed: at most 1 MiB"):
        load_yaml(path)
    path.write_text("#" * (LARGEST_FILE - 8) + "\nx: 1")
    assert load_yaml(path).data == {"x": 1}


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="/dev/zero"):
        load_yaml("/dev/zero")
