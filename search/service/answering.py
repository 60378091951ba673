"""A short job: one command that looks, or asks a driver to stop, run in the cluster.

``python -m lossweep.search.service.answering REQUEST``: runs the command in an empty folder and prints an
`Answer`, with every file that the command left there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from lossweep.search.service.messages import Answer, Request

USERS_MISTAKE: Final = 2


def answer(request: Request) -> Answer:
    """Run the command."""
    if different := request.unlike():
        return Answer(USERS_MISTAKE, err=f"{different}\n".encode())
    if refusal := home_problem(request.home):
        return Answer(USERS_MISTAKE, err=f"{refusal}\n".encode())
    with tempfile.TemporaryDirectory(prefix="lossweep-") as folder:
        command = [sys.executable, "-m", "lossweep", *request.arguments]
        run = subprocess.run(
            command, cwd=folder, env=environment_of(request), stdin=subprocess.DEVNULL, capture_output=True
        )
        root = Path(folder)
        files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
    return Answer(run.returncode, run.stdout, run.stderr, files)


def environment_of(request: Request) -> dict[str, str]:
    """Return the environment of the command: the cluster's own, which names database and tracking server."""
    home = {"LOSSWEEP_HOME": request.home} if request.home else {}
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)  # noqa: PTH109
    return {**os.environ, **request.environment, **home, "PYTHONPATH": path}


def home_problem(home: str | None) -> str:
    """Return in one line why there is no home to run in; empty if there is one."""
    found = home or os.environ.get("LOSSWEEP_HOME")
    if not found:
        return (
            "the cluster has no home for sweeps; name a folder that all of its nodes see: --home FOLDER, "
            "home in the profile, or LOSSWEEP_HOME in the environment of its head"
        )
    if "://" not in found and not Path(found).expanduser().is_absolute():
        return f"--home: not a folder of the cluster; found {found}, allowed: an absolute path there"
    return ""


def main() -> None:
    """Answer what the command line asks; whatever comes of it, the job itself has done its work."""
    print(answer(Request.decoded(sys.argv[1])).encoded(), flush=True)


if __name__ == "__main__":
    main()
