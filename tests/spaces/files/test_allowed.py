"""What may stand at a place is said in words, whatever way the model says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, JsonValue, Tag

from lossweep.spaces.files.allowed import Allowed, Location
from lossweep.spaces.losses.terms import Frozen


class Square(Frozen):
    kind: Literal["square"]
    side: float = Field(gt=0.0)


class Disc(Frozen):
    kind: Literal["disc"]
    radius: Annotated[float, Field(ge=0.5, lt=9)]


Shape = Annotated[Square | Disc, Field(discriminator="kind")]


class Picture(Frozen):
    shape: Shape
    ends: tuple[int, int]
    names: tuple[Annotated[str, Field(pattern="[a-z]+")], ...] = Field(min_length=2)
    weight: float | None = Field(default=None, gt=0.0, le=1.0)
    bits: Literal[4, 8] = 8
    bold: bool = False
    options: dict[str, JsonValue]
    limits: dict[str, Annotated[int, Field(le=3)]]
    size: Annotated[
        Annotated[int, Tag("fixed")] | Annotated[Disc, Tag("round")],
        Discriminator(lambda value: "round" if isinstance(value, dict) else "fixed"),
    ] = 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (("shape", "square", "side"), "a number > 0.0"),
        (("shape", "disc", "radius"), "a number >= 0.5 and < 9"),
        (("shape", "disc"), "{kind: ..., radius: >= 0.5 and < 9}"),
        (("ends",), "a list of 2"),
        (("ends", 1), "a whole number"),
        (("names",), "a list of at least 2"),
        (("names", 7), "text matching [a-z]+"),
        (("weight",), "a number > 0.0 and <= 1.0"),
        (("bits",), "4, 8"),
        (("bold",), "true or false"),
        (("options", "any", "thing", 3), ""),
        (("limits", "one"), "a whole number <= 3"),
        (("size",), "a whole number; or {kind: ..., radius: >= 0.5 and < 9}"),
        (("size", "fixed"), "a whole number"),
        (("size", "round", "radius"), "a number >= 0.5 and < 9"),
    ],
)
def test_a_place_is_described(location: Location, words: str) -> None:
    assert str(Allowed.at(location, Picture)) == words


@pytest.mark.parametrize(
    ("location", "place"),
    [
        (("shape", "disc", "radius"), ("shape", "radius")),
        (("size", "round", "radius"), ("size", "radius")),
        (("names", 0), ("names", 0)),
        (("limits", "disc"), ("limits", "disc")),
    ],
)
def test_the_tags_of_unions_are_none_of_the_users_keys(location: Location, place: Location) -> None:
    assert Allowed.at(location, Picture).place == place


def test_an_unknown_key_is_the_users_all_the_same() -> None:
    assert Allowed.at(("shape", "disc", "radios"), Picture, "extra_forbidden").place == ("shape", "radios")
    assert Allowed.at(("shape", "disc"), Picture).keys == ["kind", "radius"]


@pytest.mark.parametrize("location", [("weight",), ("ends", 0), ("limits", "one"), ("size", "fixed")])
def test_only_numbers_may_stand_where_a_model_says_so(location: Location) -> None:
    assert Allowed.at(location, Picture).only_numbers


@pytest.mark.parametrize("location", [("bits",), ("bold",), ("options", "x"), ("size",), ("names", 0)])
def test_other_things_than_numbers_may_stand_elsewhere(location: Location) -> None:
    assert not Allowed.at(location, Picture).only_numbers


def test_words_of_a_union_are_found_by_their_key() -> None:
    shapes: Any = Allowed.at(("shape",), Picture)
    assert shapes.choices("kind") == ["square", "disc"]
    assert shapes.naming("disc") == "kind"
    assert shapes.naming("radius") is None
