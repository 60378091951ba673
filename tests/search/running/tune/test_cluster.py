"""What becomes of the process that leaves Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LEAVES = """
import sys, threading
from pathlib import Path
import ray
from lossweep.search.running.tune.cluster import ray_session

class Knot:
    def __init__(self, ref=None):
        self.me, self.ref = self, ref  # only the garbage collector frees it

def busy():
    while True:
        knots = [Knot() for _ in range(50)]

for turn in range(2):
    with ray_session(None, 1, Path(sys.argv[1])):
        for number in range(1000):
            Knot(ray.put(number))
        if not turn:
            threading.Thread(target=busy, daemon=True).start()
print("still there")
"""


@pytest.mark.slow
def test_garbage_of_another_thread_does_not_end_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEAVES, str(tmp_path / "ray.log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "still there", done.stderr
