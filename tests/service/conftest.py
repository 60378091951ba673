from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Helper modules of these tests lie beside them; pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from ray_head import Head, ray_head


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A cluster of two CPUs for the tests of a file."""
    with ray_head(cpus=2, MY_PASSWORD="geheim-word", MLFLOW_DISABLE_TELEMETRY="true") as started:
        yield started
