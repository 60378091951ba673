"""docker-compose.yml as the tests read it: its services, with the commands that compose would start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "docker-compose.yml"

_VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")


class Missing(Exception):
    """A variable that compose refuses to start without; its text is what compose would say."""


def variables(text: str) -> dict[str, str | None]:
    """Every variable that a compose file asks for, with its default, or None where it has to be given."""
    return {
        found["name"]: found["text"] if found["kind"] == "-" else None for found in _VARIABLE.finditer(text)
    }


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Put variables in, as compose does: ``${NAME:?message}`` refuses, ``${NAME:-default}`` falls back."""

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        if given := environment.get(name):
            return given
        if found["kind"] == "-":
            return found["text"]
        raise Missing(f"required variable {name} is missing a value: {found['text']}")

    return _VARIABLE.sub(value, text)


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes:
        name: its host name in compose's network.
        argv: its command, a word each; empty for the image's own.
        environment: variables that it sees.
        keys: everything that the file says of it.
    """

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    keys: dict[str, Any]

    def native(self, hosts: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """Its command and environment on this machine; ``hosts`` maps names of compose's network to here."""

        def here(text: str) -> str:
            for inside, outside in hosts.items():
                text = text.replace(inside, outside)
            return text

        return [here(word) for word in self.argv], {
            name: here(text) for name, text in self.environment.items()
        }


def services(environment: Mapping[str, str]) -> dict[str, Service]:
    """Read docker-compose.yml with these variables."""
    document = yaml.safe_load(interpolated(FILE.read_text(encoding="utf-8"), environment))
    return {
        name: Service(
            name,
            tuple(map(str, keys.get("command", ()))),
            {key: str(value) for key, value in keys.get("environment", {}).items()},
            keys,
        )
        for name, keys in document["services"].items()
    }
