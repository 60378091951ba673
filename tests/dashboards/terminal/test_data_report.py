"""What `lossweep check` prints: every figure at any width, every remark on a line of its own."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from lossweep.dashboards.terminal.data_report import print_data_report
from lossweep.spaces.files.errors import Problem
from lossweep.trainers.data.checking.objects import ObjectSizes
from lossweep.trainers.data.checking.report import DataReport, SplitReport

SQUARE = ObjectSizes(count=3, percentiles=(100.0, 100.0, 100.0), largest=100)
TRAIN = SplitReport(
    name="train",
    images=3,
    sizes=((40, 48),),
    fractions=(1 - 100 / 1920, 100 / 1920),
    shown_in=(3, 3),
    ignored=0.25,
    empty=0,
    objects=(ObjectSizes(0, (), 0), SQUARE),
)
REPORT = DataReport(
    classes=("background", "foreground"),
    bands=3,
    dtype="uint8",
    mean=(127.5, 120.25, 99.0),
    std=(70.0, 71.0, 72.0),
    fingerprint="sha256:" + "ab" * 32,
    splits=(
        TRAIN,
        replace(TRAIN, name="val", images=4, sizes=((32, 32), (40, 48)), empty=2, shown_in=(4, 2)),
        replace(TRAIN, name="test", images=0, sizes=(), objects=(SQUARE, SQUARE)),
    ),
)


def printed(report: DataReport, width: int = 220) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_data_report(report, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return] # a StringIO


def test_the_figures_are_printed() -> None:
    page = printed(REPORT)
    for words in ("48 x 40", "5.208 (3)", "18.2", "foreground", REPORT.fingerprint, "25.000%", "2 (50.0%)"):
        assert words in page
    assert "2 sizes, 32 x 32 to 48 x 40" in page
    assert "test, % of pixels" not in page, "there is no test split"
    absent = replace(TRAIN, fractions=(1.0, 0.0))
    assert "inf" in printed(replace(REPORT, splits=(absent, *REPORT.splits[1:])))


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120])
def test_every_table_fits_its_terminal_with_every_figure(width: int) -> None:
    page = printed(REPORT, width)
    tables = page[page.index("\n\n") :]
    assert max(map(len, tables.splitlines())) <= width
    assert "…" not in tables
    for figure in ("94.792", "5.208", "18.2", "100,", "25.000%", "(50.0%)"):
        assert figure in tables


def test_a_remark_is_one_line_however_long_and_never_markup() -> None:
    path = "folder/" * 40
    report = DataReport(
        classes=("background", "[bold]ship[/bold]"),
        problems=(Problem("[red]no[/red] image", file=path),),
        suspicions=("the splits leak",),
        notes=(f"{path}: left out",),
    )
    lines = printed(report, 60).splitlines()
    assert f"  {path}: left out" in lines
    assert any(path in line and "[red]no[/red] image" in line for line in lines)
    assert lines[lines.index("suspicious:") + 1] == "  the splits leak"
    assert "problems (1):" in lines
    named = replace(REPORT, classes=report.classes)
    assert "1 [bold]ship[/bold]" in printed(named)
