"""The data that runs and models are of, as MLflow knows a data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossweep.dashboards.mlflow.internals.names import CONTEXT_TAG
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.class_prior import ClassPrior

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput


@dataclass(frozen=True, slots=True)
class KnownData:
    """A data set: what it is called, its fingerprint and its classes.

    Attributes:
        sweep: name of the sweep that it is the data of.
        fingerprint: ``sha256:...`` of the decoded data, or ``unknown``.
        prior: classes and their frequencies in training.
    """

    sweep: str
    fingerprint: str
    prior: ClassPrior

    @classmethod
    def of(cls, sweep: SweepHistory) -> KnownData:
        """Return the data of a sweep."""
        return cls(sweep.name, sweep.data_fingerprint or "unknown", sweep.prior)

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.sweep} data"

    @property
    def digest(self) -> str:
        """The beginning of its fingerprint: MLflow takes no longer one."""
        return self.fingerprint.removeprefix("sha256:")[:32]

    def as_input(self) -> DatasetInput:
        """Return it as an input of a run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        classes = dict(zip(self.prior.names, self.prior.frequencies, strict=True))
        dataset = Dataset(
            name=self.name,
            digest=self.digest,
            source_type="lossweep",
            source=json.dumps({"fingerprint": self.fingerprint}),
            profile=json.dumps({"class_frequencies": classes}),
        )
        return DatasetInput(dataset=dataset, tags=[InputTag(CONTEXT_TAG, "training")])
