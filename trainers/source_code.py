"""The source of a user's own module and of what it imports from beside it, as one digest."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from lossweep.trainers.imports import look_in_working_directory

_OURS: Final = "lossweep"
_INSTALLED: Final = {"site-packages", "dist-packages"}
_STANDARD: Final = Path(sysconfig.get_path("stdlib")).resolve()


def source_digest(path: str) -> str:
    """Return a digest of the module behind an import path, and of the modules beside it that it imports.

    Beside it lies what is imported from the same folder. Comments and layout do not count. Of an installed
    package the version counts. Nothing is imported here, and what cannot be found has an empty digest.

    Args:
        path: ``package.module:name``; the name does not matter.
    """
    look_in_working_directory()
    module = path.partition(":")[0]
    top = module.partition(".")[0]
    root = _folder_of(top)
    if root is None or top == _OURS:
        return ""
    if _INSTALLED & set(root.parts) or root.is_relative_to(_STANDARD):
        return f"{top} {_version(top)}"
    digest = hashlib.sha256()
    for name, content in sorted(_sources(root, module).items()):
        digest.update(f"{name}\n".encode() + content)
    return digest.hexdigest()[:16]


def _folder_of(top: str) -> Path | None:
    """The folder that a top-level module or package lies in."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.has_location and spec.origin else None


def _version(top: str) -> str:
    names = importlib.metadata.packages_distributions().get(top, ())
    return " ".join(sorted(importlib.metadata.version(name) for name in set(names))) or sys.version


def _sources(root: Path, module: str) -> Mapping[str, bytes]:
    """What is run when a module is imported, of the modules under a folder, by their names."""
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        parts = waiting.pop().split(".")
        for depth in range(1, len(parts) + 1):  # of a.b.c also a and a.b
            name = ".".join(parts[:depth])
            file = _file_of(root, name)
            if file is None or name in found or parts[0] == _OURS:
                continue
            source = file.read_bytes()
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError):  # the import will say so
                found[name] = source
                continue
            found[name] = ast.dump(tree).encode(errors="surrogatepass")
            waiting += _imports(tree, name if file.name == "__init__.py" else name.rpartition(".")[0])
    return found


def _file_of(root: Path, module: str) -> Path | None:
    place = root.joinpath(*module.split("."))
    files = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules that may be imported anywhere in a module; ``a`` and ``a.b`` of ``from a import b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(filter(None, [*above, base]))
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)
