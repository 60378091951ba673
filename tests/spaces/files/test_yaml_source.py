"""YAML as it is read: scalars, lines, keys given twice, values put over the file's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.files.yaml_source import load_yaml, parse_yaml, plain_source, validate, write_yaml
from lossweep.spaces.losses.terms import Frozen


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("010", 10),
        ("0x1F", 31),
        (".inf", float("inf")),
        ("true", True),
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("1e", "1e"),
        ("e5", "e5"),
        ("[1, a]", [1, "a"]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = parse_yaml(text).data
    assert read == value
    assert type(read) is type(value)


def test_lines_are_known_for_every_key_and_item() -> None:
    source = parse_yaml("a:\n  - b: 1\n  -\n    c: {d: 2,\n     e: 3}\nf: 4\n")
    assert {place: source.lines[place] for place in source.lines if place} == {
        ("a",): 1,
        ("a", 0): 2,
        ("a", 0, "b"): 2,
        ("a", 1): 4,
        ("a", 1, "c"): 4,
        ("a", 1, "c", "d"): 4,
        ("a", 1, "c", "e"): 5,
        ("f",): 6,
    }
    assert source.line_of(("a", 1, "c", "missing")) == 4
    assert source.line_of(("missing",)) == 1


def test_anchors_and_merges_are_followed() -> None:
    source = parse_yaml("base: &base {x: 1, y: 2}\nown: {<<: *base, y: 3}\nsame: *base\n")
    assert source.data == {"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}, "same": {"x": 1, "y": 2}}


def test_an_alias_within_its_anchor_is_refused() -> None:
    with pytest.raises(UserError, match=r"1: a\[0\]: an alias stands inside its own anchor"):
        parse_yaml("a: &a [*a]")


def test_all_keys_given_twice_are_named() -> None:
    with pytest.raises(UserError) as raised:
        parse_yaml("a: 1\nb: {c: 1,\n c: 2}\na: 3\n", "x.yaml")
    assert [str(problem) for problem in raised.value.problems] == [
        "x.yaml:3: b.c: the key is given twice, first on line 2",
        "x.yaml:4: a: the key is given twice, first on line 1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "a: [1",
        "a: 1\n b: 2",
        "\tx: 1",
        "!!python/object:os.system {}",
        "a: !mine 1",
        "a: \0",
        "[" * 5000,
        "a: " + "9" * 5000,
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="file") as raised:
        parse_yaml(text, "file")
    assert len(str(raised.value).splitlines()) == 1


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: can't be read: No such file"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.yaml: is not text in UTF-8"):
        load_yaml(tmp_path / "binary.yaml")


class Inner(Frozen):
    count: int = 1
    share: float = 0.5


class Outer(Frozen):
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    name: str | None = None


def test_values_put_over_the_file_are_blamed_on_the_command_line() -> None:
    source = parse_yaml("inner: {count: 2}\ninners: [{share: 1}]\n", "x.yaml")
    over = source.overridden({"inner.count": 5, "inners[0].share": 0.25, "name": "n"})
    assert validate(Outer, over) == Outer(inner=Inner(count=5), inners=(Inner(share=0.25),), name="n")
    assert source.data["inner"] == {"count": 2}
    with pytest.raises(UserError) as raised:
        validate(Outer, source.overridden({"inner.count": "many", "inner.shar": 1}))
    assert [str(problem).partition(";")[0] for problem in raised.value.problems] == [
        "command line: inner.count: is not a whole number",
        "command line: inner.shar: unknown key 'shar'",
    ]
    with pytest.raises(UserError, match="can't be set"):
        source.overridden({"inner.count.deep": 1})
    with pytest.raises(UserError, match="can't be set"):
        source.overridden({"inners[3].share": 1})
    assert validate(Outer, plain_source({}).overridden({"inner.share": 0.1})).inner.share == 0.1


def test_a_part_of_a_source_is_validated_at_its_place() -> None:
    source = parse_yaml("a:\n  b:\n    count: no\n", "x.yaml")
    with pytest.raises(UserError, match=r"x\.yaml:3: a\.b\.count: is not a whole number; found no"):
        validate(Inner, source, at=("a", "b"))


def test_later_problems_are_located() -> None:
    source = parse_yaml("space:\n  phases:\n    - losses: []\n", "x.yaml")
    located = source.located(Problem("wrong", key="phases[0].losses[2].weights"), at=("space",))
    assert (located.file, located.line, located.key) == ("x.yaml", 3, "space.phases[0].losses[2].weights")


def test_written_yaml_reads_back() -> None:
    data = {
        "z": 1e-05,
        "a": [{"x": [1, {"y": "no"}]}, {"null": None}],
        "t": "1e-3",
        "s": "a: b\n#c",
        "e": [],
        "d": {},
    }
    text = write_yaml(data, first=("a",))
    assert text.startswith("a:\n  - ")
    assert parse_yaml(text).data == data
