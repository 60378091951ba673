"""A sweep file that is submitted to a cluster: what of it can be known to be wrong before it is shipped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def ship(given: dict[str, Any], code: Path) -> tuple[str, dict[str, Any]]:
    """Check that what a sweep file needs is shipped or lies on the cluster.

    Args:
        given: the parameters of ``lossweep submit``.
        code: the folder that is shipped.

    Returns:
        The sweep's name, and the parameters that name files, as they are named there.

    Raises:
        UserError: when the file, or a former winner, is not shipped, or its data lie here.
    """
    from lossweep.commands.arguments import parse_overrides
    from lossweep.search.service.package import shipped_files
    from lossweep.search.sweep_spec import NAME_PATTERN
    from lossweep.spaces.files.errors import Problem, UserError
    from lossweep.spaces.files.yaml_source import load_yaml

    file: Path = given["sweep_file"]
    source = load_yaml(file)
    source = source.overridden(parse_overrides(given.get("overrides")))
    name = given.get("name") or (source.data or {}).get("name") or ""
    problems = []
    if not re.fullmatch(NAME_PATTERN, str(name)):
        allowed = "letters, digits, . _ -, at most 63"
        problems.append(source.located(Problem("not a name", key="name", found=repr(name), allowed=allowed)))
    data = source.data.get("data") or {}
    for key in ("root", "path"):
        where = data.get(key) if isinstance(data, dict) else None
        if isinstance(where, str) and "://" not in where and not Path(where).is_absolute():
            if key == "path" and data.get("source") == "import":
                continue  # a folder of code, which is shipped
            problems.append(
                source.located(
                    Problem(
                        "the data of a sweep on a cluster lie there",
                        key=f"data.{key}",
                        found=where,
                        allowed="an absolute path that its nodes see",
                    )
                )
            )
    shipped = {path.absolute() for _, path in shipped_files(code)}
    files = [file, *(Path(each) for each in given.get("warm_start") or () if _is_file(each))]
    problems += [
        Problem(
            f"is not among the files that are shipped with {code.absolute()}",
            str(each),
            hint="ship the folder that it lies in: --code DIR; or have .lossweepignore not name it",
        )
        for each in files
        if each.absolute() not in shipped
    ]
    if problems:
        raise UserError(problems)

    def there(each: Path | str) -> str:
        return Path(each).absolute().relative_to(code.absolute()).as_posix()

    winners = [there(each) if _is_file(each) else each for each in given.get("warm_start") or ()]
    return str(name), {"sweep_file": there(file), "warm_start": winners}


def _is_file(named: str) -> bool:
    return Path(named).suffix in (".yaml", ".yml", ".json")
