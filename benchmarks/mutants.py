"""How many small faults planted in the code its tests find: a sample of mutants, made by cosmic-ray.

    pip install -e '.[test,mutants]'
    python benchmarks/mutants.py [--count 200] [--seed 0] [--minutes M] [--jobs 2] [PACKAGE ...]

A mutant is the code with one place changed: a comparison, a number, a boolean, a binary operator, `and` and
`or`, a `not` added, a decorator removed, a loop never entered, another exception caught. Places are drawn
evenly, whatever can stand at them, and then one change each. Every mutant is tried in a copy of the working
tree by the tests of its room: its module's own first, stopped at the first that fails, none that is slow. It
is found if one fails, or if they take three times as long as they should.

Left out are annotations, which nothing evaluates; what only slow tests reach (the Ray runner) and migrations
of old databases; simulated learning curves, whose numbers are made up; and the tests against PostgreSQL, as
they repeat those against SQLite.
Prints a score a package, and what lived as a diff each. Exits 1 below --least.
"""

from __future__ import annotations

import argparse
import ast
import logging
import math
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("search", "trainers/losses", "trainers/metrics", "trainers/guards")
LEFT_OUT: Final = ("search/running/tune", "search/ledger/migrations", "search/simulation")
ALIKE: Final = ("_Eq_Is", "_Is_Eq", "_NotEq_IsNot", "_IsNot_NotEq")
Place = tuple[Path, str, tuple[int, int]]
"""A module, the kind of change, and where: line and column."""


@dataclass(frozen=True)
class Mutant:
    """One change, and whether a test found it."""

    place: Place
    diff: str
    found: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", default=PACKAGES, help="folders; all four by default")
    parser.add_argument("--count", type=int, default=200, help="places drawn; 0 takes every place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after so many, with a smaller sample"
    )
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at once")
    parser.add_argument("--least", type=float, default=0.9, help="the score below which it exits 1")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)

    dice = random.Random(options.seed)
    places = {place: ways for package in options.packages for place, ways in places_in(package).items()}
    drawn: dict[Place, MutationSpec] = {}
    for place in dice.sample(sorted(places), len(places)):
        spec = next(filter(is_another_program, dice.sample(places[place], len(places[place]))), None)
        if spec is not None:
            drawn[place] = spec
        if len(drawn) == options.count:
            break
    print(f"{len(drawn)} of {len(places)} places", file=sys.stderr)

    mutants, began = [], time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ProcessPoolExecutor(options.jobs, initializer=work_in_a_copy, initargs=(folder,)) as pool,
    ):
        for place, (diff, found) in zip(drawn, pool.map(tried, drawn.values()), strict=True):
            mutants.append(Mutant(place, diff, found))
            (module, kind, (line, _)), outcome = place, "found" if found else "LIVED"
            print(f"{len(mutants):4} {outcome} {module}:{line} {kind}", file=sys.stderr, flush=True)
            if time.monotonic() - began > 60 * options.minutes:
                pool.shutdown(cancel_futures=True)
                break
    report(mutants, options.packages)
    sys.exit(sum(mutant.found for mutant in mutants) < options.least * len(mutants))


def places_in(package: str) -> dict[Place, list[MutationSpec]]:
    """Every place of a package with the changes that may be made there."""
    places: dict[Place, list[MutationSpec]] = defaultdict(list)
    for path in sorted((ROOT / package).rglob("*.py")):
        module = path.relative_to(ROOT)
        if any(module.is_relative_to(folder) for folder in LEFT_OUT):
            continue
        source = path.read_text(encoding="utf-8")
        tree, unevaluated = get_ast(source), list(annotations(source))
        for name in operator_names():
            operator = get_operator(name)
            if operator.arguments():
                continue  # of variables that somebody names
            at = (position for node in ast_nodes(tree) for position in operator().mutation_positions(node))
            for occurrence, (start, end) in enumerate(at):
                if not any(first <= start and end <= last for first, last in unevaluated):
                    kind = name.partition("/")[2].partition("_")[0]
                    spec = MutationSpec(module, name, occurrence, start, end)
                    places[module, kind, start].append(spec)
    return places


def is_another_program(spec: MutationSpec) -> bool:
    """Whether there is such a mutant and it may differ: `is` for `==` mostly doesn't, nor do slots."""
    if spec.operator_name.endswith(ALIKE):
        return False
    source = (ROOT / spec.module_path).read_text(encoding="utf-8")
    if "@dataclass(" in source.splitlines()[spec.start_pos[0] - 1] and spec.operator_name.endswith(
        "TrueWithFalse"
    ):
        return False
    try:
        mutated = mutate_code(source, get_operator(spec.operator_name)(), spec.occurrence)
        return mutated is not None and ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    except (AttributeError, SyntaxError):  # cosmic-ray can't make it, or Python doesn't read it
        return False


def annotations(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the annotations of a module begin and end."""
    for node in ast.walk(ast.parse(source)):
        for field in ("annotation", "returns"):
            found = getattr(node, field, None)
            if isinstance(found, ast.expr):
                yield (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)


def work_in_a_copy(folder: str) -> None:
    """Go into a copy of the working tree, as git lists it: links stay links."""
    copy = Path(tempfile.mkdtemp(dir=folder))
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(
        listed, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    logging.disable(logging.CRITICAL)


def tried(spec: MutationSpec) -> tuple[str, bool]:
    """Run the tests of a mutant's room; returns what was changed, and whether they found it."""
    tests = tests_of(spec.module_path)
    result = mutate_and_test([spec], command(tests), timeout=3 * seconds(tuple(sorted(tests))) + 10)
    if result.test_outcome not in (TestOutcome.SURVIVED, TestOutcome.KILLED):
        raise RuntimeError(f"{spec}: {result.output}")
    return str(result.diff), result.test_outcome is TestOutcome.KILLED


def tests_of(module: Path) -> tuple[str, ...]:
    """The tests of a module's room: its own first, then those beside them."""
    room = next(room for folder in module.parents if (room := Path("tests") / folder).is_dir())
    beside = sorted(room.glob("test_*.py")) or [room]
    own = [path for path in beside if path.stem == f"test_{module.stem}"]
    return tuple(map(str, dict.fromkeys((*own, *beside))))


def command(tests: Sequence[str]) -> str:
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    return shlex.join([sys.executable, "-m", "pytest", *options, "-m", "not slow", *tests])


@cache
def seconds(tests: Sequence[str]) -> float:
    """How long the tests take on the code as it is, which they have to pass."""
    began = time.monotonic()
    subprocess.run(shlex.split(command(tests)), check=True, capture_output=True)
    return time.monotonic() - began


def report(mutants: Sequence[Mutant], packages: Sequence[str]) -> None:
    print("| package | planted | found | score |\n| --- | --- | --- | --- |")
    for name in (*packages, "all"):
        of = [mutant for mutant in mutants if name == "all" or mutant.place[0].is_relative_to(name)]
        if of:
            found = sum(mutant.found for mutant in of)
            print(f"| `{name}` | {len(of)} | {found} | {found / len(of):.0%} |")
    for mutant in mutants:
        if not mutant.found:
            print(f"\n{mutant.diff}")


if __name__ == "__main__":
    main()
