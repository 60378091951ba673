"""The command line starts at once: it imports nothing heavy before a command needs it."""

from __future__ import annotations

import itertools
import subprocess
import sys

HEAVY = ("torch", "ray", "mlflow", "optuna", "sqlalchemy", "numpy", "pydantic", "segmentation_models_pytorch")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lossweep.commands import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    assert "submit" in run.stdout


def test_help_takes_less_than_half_a_second_of_processor_time() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = 3
    for _ in range(runs):
        subprocess.run([sys.executable, "-m", "lossweep", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert spent / runs < 0.5


def test_every_command_explains_itself() -> None:
    from typer.testing import CliRunner

    from lossweep.commands import app

    names = [command.name for command in app.registered_commands]
    assert len(names) >= 18
    for name in names:
        assert name is not None
        run = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [name, "--help"])
        assert run.exit_code == 0, name
        assert "Usage" in run.output
        said = [line.strip() for line in run.output.partition("╭")[0].splitlines()]
        for line, following in itertools.pairwise(said):  # a line ends where the next word finds no room
            assert not line or not following or len(f"{line} {following.split()[0]}") > 78, (name, line)
