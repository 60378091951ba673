"""What the sweep was run on and with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from lossweep.dashboards.numbers import MISSING
from lossweep.search.study.history import SweepHistory


@dataclass(frozen=True, slots=True)
class Fact:
    """A name with its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Data and settings.

    Attributes:
        facts: when, on which data, with which version.
        classes: each with its share of the training pixels.
        sweep_yaml: the sweep file.
    """

    facts: tuple[Fact, ...]
    classes: tuple[Fact, ...]
    sweep_yaml: str


def provenance(history: SweepHistory) -> Provenance:
    """Return what the sweep was run on and with."""
    prior = history.prior
    return Provenance(
        facts=(
            Fact("Created", f"{history.created:%Y-%m-%d %H:%M} UTC"),
            Fact("Report built", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
            Fact("Data", history.data_fingerprint or MISSING),
            Fact("lossweep", history.code_version or MISSING),
            *_object_sizes(history),
        ),
        classes=tuple(
            Fact(name, f"{share:.3%}") for name, share in zip(prior.names, prior.frequencies, strict=True)
        ),
        sweep_yaml=history.spec_yaml,
    )


def _object_sizes(history: SweepHistory) -> list[Fact]:
    """Where small objects end and large ones begin: of the newest evaluation that was told."""
    told = [e.object_sizes for t in history.recorded for e in t.evaluations[-1:] if e.object_sizes]
    return [
        Fact(f"Sizes of {name}", f"small up to {small} pixels, large above {middle}")
        for name, (small, middle) in (told[-1] if told else {}).items()
    ]
