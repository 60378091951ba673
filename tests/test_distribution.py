"""What is installed is `lossweep` alone, whole, and beside packages whose names its folders bear."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LAYERS = ("dashboards", "search", "spaces", "trainers")


def run(*command: str | Path, cwd: Path) -> str:
    """Run without the environment's search path, so that only what is installed is found."""
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def build_wheel(project: Path, into: Path) -> Path:
    """Build from a folder or an sdist; no network, by the running environment's setuptools."""
    quiet = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    run(sys.executable, "-m", "pip", "wheel", *quiet, "--wheel-dir", into, project, cwd=into.parent)
    (wheel,) = into.glob("*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel, but for the list of them that it holds itself."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of what a distribution is built from, links as links."""
    tree = tmp_path_factory.mktemp("distribution") / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("lossweep", *LAYERS, "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build_wheel(tree, tree.parent / "wheel")


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    build = "import setuptools.build_meta, sys; setuptools.build_meta.build_sdist(sys.argv[1])"
    folder = tree.parent / "sdist"
    run(sys.executable, "-c", build, folder, cwd=tree)
    (sdist,) = folder.glob("*.tar.gz")
    return sdist


def test_the_wheel_has_one_import_name(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in contents(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == {"lossweep"}
    (names,) = (text for name, text in contents(wheel).items() if name.endswith("/top_level.txt"))
    assert names.split() == [b"lossweep"]


def test_the_wheel_holds_every_file_of_the_packages(tree: Path, wheel: Path) -> None:
    """Presets, migrations, the report's page and py.typed included: whatever lies in a package's folder."""
    expected = {
        path.relative_to(tree).as_posix()
        for path in (tree / "lossweep").rglob("*")
        if path.is_file() and not path.parent.is_symlink()
    }
    for layer in LAYERS:
        inside = (path.relative_to(tree) for path in (tree / layer).rglob("*") if path.is_file())
        expected |= {f"lossweep/{path.as_posix()}" for path in inside}
    packed = {name for name in contents(wheel) if name.startswith("lossweep/")}
    assert packed == expected
    assert {f"lossweep/{layer}/py.typed" for layer in LAYERS} | {"lossweep/py.typed"} <= packed
    for suffix in (".yaml", ".mako", ".html", ".css", ".js"):
        assert any(name.endswith(suffix) for name in packed), suffix


def test_a_wheel_from_the_sdist_is_the_same(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        assert not [entry.name for entry in archive if entry.issym() or entry.islnk()]
    assert contents(build_wheel(sdist, sdist.parent / "wheel")) == contents(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A fresh environment with lossweep, and installed after it a package named ``spaces``."""
    base = wheel.parent.parent
    other = base / "spaces"
    (other / "spaces").mkdir(parents=True)
    (other / "spaces" / "__init__.py").write_text("GPU = 'zero'\n")
    (other / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "spaces"\nversion = "0.51"\n'
    )
    python = base / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", base / "venv", cwd=base)
    for one in (wheel, build_wheel(other, base / "other-wheel")):
        pip = [sys.executable, "-m", "pip", "--python", python, "install"]
        run(*pip, "--quiet", "--no-index", "--no-deps", one, cwd=base)
    return python


def test_it_lives_beside_the_package_spaces(installed: Path) -> None:
    """Each from its own place. What lossweep needs is borrowed from the running environment."""
    code = (
        "import sys, json; import lossweep, spaces; "
        f"sys.path.append({sysconfig.get_path('purelib')!r}); "
        "import lossweep.spaces.losses.terms, lossweep.search.sweep_spec as sweep_spec; "
        "print(json.dumps([lossweep.__file__, spaces.__file__, lossweep.spaces.__file__, "
        "sweep_spec.__file__, spaces.GPU, str(lossweep.LossSchedule.parse('dice @1e-3 x2'))]))"
    )
    *files, gpu, schedule = json.loads(run(installed, "-c", code, cwd=installed.parent))
    (packages,) = (installed.parents[1] / "lib").glob("python*/site-packages")
    expected = ("lossweep/__init__.py", "spaces/__init__.py", "lossweep/spaces/__init__.py")
    assert files == [str(packages / name) for name in (*expected, "lossweep/search/sweep_spec.py")]
    assert (gpu, schedule) == ("zero", "dice @1e-3 x2")


def test_what_is_not_lossweep_is_not_there(installed: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {LAYERS} if u.find_spec(n)])"
    assert run(installed, "-c", code, cwd=installed.parent).strip() == "['spaces']"


def test_an_editable_install_is_a_plain_path(tree: Path) -> None:
    """No import hook, which mypy and editors would not follow."""
    build = "import setuptools.build_meta, sys; setuptools.build_meta.build_editable(sys.argv[1])"
    folder = tree.parent / "editable"
    folder.mkdir()
    run(sys.executable, "-c", build, folder, cwd=tree)
    (wheel,) = folder.glob("*.whl")
    installed = {name: text for name, text in contents(wheel).items() if ".dist-info/" not in name}
    (path_file,) = installed
    assert path_file.endswith(".pth")
    assert installed[path_file].decode().strip() == str(tree)
