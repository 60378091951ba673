"""What runs hold by now: MLflow takes a value twice, but slowly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lossweep.dashboards.mlflow.content import Point


@dataclass(slots=True)
class Held:
    """What was written of one run.

    Attributes:
        points: of its metrics.
        params: by key.
        tags: by key.
        status: an MLflow run status; empty while it is not known.
    """

    points: set[Point] = field(default_factory=set)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = ""

    def missing(
        self, points: Iterable[Point], params: Mapping[str, str], tags: Mapping[str, str]
    ) -> tuple[list[Point], dict[str, str], dict[str, str]]:
        """Return what of this was not written yet."""
        return (
            [point for point in dict.fromkeys(points) if point not in self.points],
            {key: value for key, value in params.items() if self.params.get(key) != value},
            {key: value for key, value in tags.items() if self.tags.get(key) != value},
        )

    def add(
        self,
        points: Iterable[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Take note of what was written."""
        self.points.update(points)
        self.params |= params or {}
        self.tags |= tags or {}
