"""The console that commands print by: no letter of anyone's text moves the cursor or turns a line around."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from lossweep.spaces.files.errors import one_line


class TerminalConsole(Console):
    """Shows the letters of texts that are not printable escaped: terminal escapes, right-to-left marks."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render; see `rich.console.Console.render`."""
        return super().render(visible(renderable) if isinstance(renderable, Text) else renderable, options)


def visible(text: Text) -> Text:
    """Return a text whose letters are all printable, its line breaks kept."""
    plain = text.plain
    if plain.replace("\n", "").isprintable():
        return text
    shown = text.blank_copy()
    for index, letter in enumerate(plain):
        shown.append_text(text[index] if letter == "\n" or letter.isprintable() else Text(one_line(letter)))
    return shown


def cell(words: str | Text) -> Text:
    """Return what stands in one cell of a table: one line, of a width that is known."""
    if isinstance(words, str):
        return Text(one_line(words))
    return visible(words) if "\n" not in words.plain else Text(one_line(words.plain), words.style)
