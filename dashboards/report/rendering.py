"""The templates in `page/`, every value escaped; what is our own, or JSON made safe, is marked here."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

FIRST_ROWS: Final = 12
"""Rows of a long table that are shown before one asks for the rest."""


def render(template: str, **values: object) -> str:
    """Return a template of `page/` with values put in, escaped unless they are `Markup`."""
    return _environment().get_template(template).render(values)


@cache
def resource(name: str) -> Markup:
    """Return a style sheet or script of `page/`, as it is."""
    return Markup(_source(name))


@cache
def plotly() -> Markup:
    """Return plotly's own script."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return Markup(source.replace("</script", "<\\/script"))


def embedded(data: object) -> Markup:
    """Return JSON that is safe inside a script element: no text can end it."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for found, written in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        plain = plain.replace(found, written)
    return Markup(plain.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _source(name: str) -> str:
    return files("lossweep.dashboards.report").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["first_rows"] = FIRST_ROWS
    return environment
