"""How much a YAML file comes to when its aliases are written out: a few hundred bytes can hold terabytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import yaml

from lossweep.spaces.files.errors import Problem, UserError

MOST_ADDED: Final = 100_000
"""Values, and hundreds of letters, that aliases may add to what is written."""


def check_expansion(root: yaml.Node, file: str | None) -> None:
    """Make sure that a file's aliases come to no more than a person could mean, before they are followed.

    Args:
        root: the file's outermost node; an alias is the very node that its anchor names.
        file: the name errors give it.

    Raises:
        UserError: with the line of the innermost value that comes to too much.
    """
    sizes: dict[int, int] = {}
    written = 0
    # Without recursion: how deep a file may be nested is another question. A node is met first to go into it
    # (it weighs nothing yet, also where it stands inside itself), and again when all in it is weighed.
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, is_weighed = waiting.pop()
        if is_weighed:
            size = sizes[id(node)] = _own(node) + sum(sizes[id(part)] for part in _parts(node))
            if size - written > MOST_ADDED:
                raise UserError(
                    Problem(
                        "comes to too much when its aliases are written out",
                        file=file,
                        line=node.start_mark.line + 1,
                        found=f"{size:,} values",
                        allowed=f"{MOST_ADDED:,} more than are written",
                    )
                )
        elif id(node) not in sizes:
            sizes[id(node)] = 0
            written += _own(node)
            waiting.append((node, True))
            waiting.extend((part, False) for part in _parts(node))


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield the nodes in a node, as often as they stand there."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _own(node: yaml.Node) -> int:
    return 1 + len(node.value) // 100 if isinstance(node, yaml.ScalarNode) else 1
