"""What passes between a client and a job comes through whole, whatever a log adds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.search.service.messages import Answer, Request

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=20)


@given(
    st.integers(0, 255), st.binary(), st.binary(), st.dictionaries(NAMES, st.binary(), max_size=3), st.text()
)
def test_an_answer_is_found_in_any_log(
    code: int, out: bytes, err: bytes, files: dict[str, bytes], noise: str
) -> None:
    answer = Answer(code, out, err, files)
    assert Answer.found_in(f"{noise.replace('<', '')}\n{answer.encoded()}\n{noise}") == answer


@given(st.text())
def test_a_log_without_an_answer_has_none(log: str) -> None:
    assert Answer.found_in(log) is None


@given(st.lists(st.text()), st.dictionaries(st.text(), st.text()), st.none() | st.text(), st.integers(0, 9))
def test_a_request_is_read_as_it_was_written(
    arguments: list[str], environment: dict[str, str], home: str | None, retries: int
) -> None:
    request = Request(tuple(arguments), home=home, environment=environment, retries=retries, again=("--yes",))
    assert Request.decoded(request.encoded()) == request


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"lossweep": "9.9.9"}, "lossweep"),
        ({"python": "2.7"}, "Python"),
    ],
)
def test_versions_that_differ_are_named_with_both(change: dict[str, str], said: str) -> None:
    different = replace(Request(("list",)), **change).unlike()  # type: ignore[arg-type]  # of texts
    assert bool(different) is bool(change)
    assert said in different
    assert all(value in different for value in change.values())


def test_what_a_newer_client_adds_does_not_hide_that_it_is_newer() -> None:
    text = replace(Request(("list",)), lossweep="9.9.9").encoded().replace("{", '{"new":1,', 1)
    assert "this client 9.9.9" in Request.decoded(text).unlike()
