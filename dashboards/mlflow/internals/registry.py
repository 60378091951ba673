"""What MLflow's registry of models needs beside its client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lossweep.search.workspace import TRACKING_VARIABLE

_FILE: Final = "MLmodel"


def forget_origin(model: Any, folder: Path) -> None:
    """Let a saved model tell where its files lie in it, and not where on this machine they were taken from.

    Args:
        model: an ``mlflow.models.Model`` that was saved.
        folder: where.
    """
    for flavor in model.flavors.values():
        for artifact in (flavor.get("artifacts") or {}).values():
            artifact["uri"] = artifact["path"]
    model.save(str(folder / _FILE))


@contextmanager
def addressed(uri: str) -> Iterator[None]:
    """Let a store be the one of this process, and put back what was.

    A registry in a database looks for a model at the process's own address, whatever its client was given.
    """
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get(TRACKING_VARIABLE)
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        os.environ.pop(TRACKING_VARIABLE, None)
        if before is not None:
            os.environ[TRACKING_VARIABLE] = before
