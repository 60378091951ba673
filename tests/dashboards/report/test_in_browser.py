"""The report as a person meets it: in a real browser, as a file and inside MLflow."""

from __future__ import annotations

from pathlib import Path

import histories
import numpy as np
import pytest
from browser import Browser

from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.report.overlays import OverlayTile, tile
from lossweep.dashboards.report.plots.catalog import PLOTS, VERDICT_PLOTS
from lossweep.search.study.history import SweepHistory

pytestmark = pytest.mark.slow

DRAWN = "return document.documentElement.dataset.drawn"
PLOTS_DRAWN = (
    "return [...document.querySelectorAll('.plot')].map(f => [f.id,"
    " f.querySelectorAll('.trace, .barlayer .point, .boxlayer .trace').length])"
)


def tiles(name: str = "tile 7") -> list[OverlayTile]:
    chance = np.random.default_rng(0)
    image = chance.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    mask = (chance.random((32, 32)) < 0.2).astype(np.uint8)
    return [tile(name, image, mask, mask, np.zeros_like(mask))]


def opened(
    browser: Browser, folder: Path, sweep: SweepHistory, overlays: list[OverlayTile] | None = None
) -> None:
    page = folder / "report.html"
    page.write_text(build_report(sweep, overlays), encoding="utf-8")
    browser.open(page.as_uri())
    browser.until(lambda: browser.run(DRAWN) == "yes", "the report to be drawn")


@pytest.fixture(scope="module")
def sweep() -> SweepHistory:
    return histories.sweep(proposals=12)


def test_every_plot_is_drawn_without_an_error_or_a_request(
    browser: Browser, tmp_path: Path, sweep: SweepHistory
) -> None:
    opened(browser, tmp_path, sweep, tiles())
    plots = dict(browser.until(lambda: browser.run(PLOTS_DRAWN), "plots"))
    assert {f"plot-{name}" for name in (*PLOTS, "timeline", "path", "parameter")} == set(plots)
    assert all(count > 0 for count in plots.values()), plots
    pictures = browser.run("return [...document.images].map(i => [i.complete, i.naturalWidth])")
    assert pictures == [[True, 32]] * 2
    winner, control = sweep.trials[2].score, sweep.trials[0].score
    assert winner is not None
    assert control is not None
    difference = browser.run("return document.querySelector('.card.difference .score').textContent")
    assert difference == f"{winner - control:+.3f}"
    assert browser.errors() == []
    assert browser.foreign_requests() == []


def test_choosing_a_trial_changes_the_timeline(browser: Browser, tmp_path: Path, sweep: SweepHistory) -> None:
    opened(browser, tmp_path, sweep)

    def shown() -> tuple[object, ...]:
        return (
            browser.run("return document.getElementById('plot-timeline').data[0].y.slice()"),
            browser.run("return document.getElementById('plot-timeline').layout.shapes.length"),
            browser.run(
                "return document.getElementById('plot-path').data.find(t => t.name === 'at 0.5').x.slice()"
            ),
            browser.run("return document.getElementById('phase-table').rows.length"),
        )

    winner = shown()
    assert winner[1] == 6, "the winner's six phases are shaded"
    browser.run(
        "const s = document.getElementById('trial'); s.value = '0'; s.dispatchEvent(new Event('change'))"
    )
    control = shown()
    assert control[1] == 1
    assert all(before != after for before, after in zip(winner, control, strict=True))
    browser.run("document.querySelector('#stopped-table tr.pick[data-trial=\"4\"]').click()")
    assert browser.run("return document.getElementById('trial').value") == "4"
    assert "all_foreground" in browser.run("return document.getElementById('trial-facts').textContent")
    assert browser.errors() == []


def test_it_fits_mlflows_narrow_frame(browser: Browser, tmp_path: Path, sweep: SweepHistory) -> None:
    browser.driver.set_window_size(600, 900)
    try:
        opened(browser, tmp_path, sweep, tiles())
        width, inner = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner
        too_wide = browser.run(
            "return [...document.querySelectorAll('section > *, .plot .main-svg')]"
            ".filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert too_wide == []
    finally:
        browser.driver.set_window_size(1280, 1000)


def test_a_verdict_is_drawn_and_fits_a_narrow_frame(browser: Browser, tmp_path: Path) -> None:
    browser.driver.set_window_size(600, 900)
    try:
        sweep = histories.confirmed()
        opened(browser, tmp_path, sweep, tiles())
        plots = dict(browser.until(lambda: browser.run(PLOTS_DRAWN), "plots"))
        assert all(plots[f"plot-{name}"] > 0 for name in VERDICT_PLOTS), plots
        width, inner = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner
        cut = browser.run(
            "return [...document.querySelectorAll('#verdict .plot .main-svg, #verdict .plot text')]"
            ".filter(e => e.getBoundingClientRect().right > innerWidth || e.getBoundingClientRect().left < 0)"
            ".map(e => e.textContent.slice(0, 80))"
        )
        assert cut == []
        assert browser.run("return document.querySelector('#verdict h2 .chip').textContent") == "beats"
        assert sweep.confirmation is not None
        number = sweep.confirmation.trials[0].number
        browser.run(
            "const s = document.getElementById('trial'); s.value = arguments[0];"
            " s.dispatchEvent(new Event('change'))",
            str(number),
        )
        facts = browser.run("return document.getElementById('trial-facts').textContent")
        assert facts.startswith(f"#{number}, confirmation with seed 1, completed")
        assert browser.errors() == []
        assert browser.foreign_requests() == []
    finally:
        browser.driver.set_window_size(1280, 1000)


def test_a_running_sweep_and_an_empty_one_are_shown(browser: Browser, tmp_path: Path) -> None:
    from dataclasses import replace

    opened(browser, tmp_path, histories.sweep("running", proposals=0))
    assert "running" in browser.run("return document.getElementById('headline').textContent")
    opened(browser, tmp_path, replace(histories.sweep(), trials=(), state="running"))
    assert "no winner" in browser.run("return document.getElementById('sentence').textContent")
    assert browser.errors() == []


def test_hostile_names_are_shown_as_they_are_and_run_nothing(browser: Browser, tmp_path: Path) -> None:
    sweep = histories.sweep(hostile=True)
    opened(browser, tmp_path, sweep, tiles(histories.HOSTILE))
    assert not browser.alerted()
    assert browser.run("return [...document.scripts].some(s => s.textContent === 'alert(1)')") is False
    assert histories.HOSTILE in browser.run("return document.getElementById('classes').textContent")
    assert histories.HOSTILE in browser.run("return document.getElementById('stopped-table').textContent")
    assert histories.HOSTILE in browser.run("return document.querySelector('.gallery h4').textContent")
    for number in (2, 3, 5):
        browser.run(
            "const s = document.getElementById('trial'); s.value = arguments[0];"
            " s.dispatchEvent(new Event('change'))",
            str(number),
        )
    assert not browser.alerted()
    assert browser.errors() == []


def test_the_copy_button_gives_the_schedule(browser: Browser, tmp_path: Path, sweep: SweepHistory) -> None:
    opened(browser, tmp_path, sweep)
    browser.run("document.querySelector('#export button.copy').click()")
    words = browser.until(
        lambda: (
            (t := browser.run("return document.querySelector('#export button.copy').textContent")) != "Copy"
            and t
        ),
        "the button to answer",
    )
    assert words in ("Copied", "Selected: press Ctrl+C")
    shown = browser.run("return document.getElementById('schedule-yaml').textContent")
    from lossweep.spaces.schedules.schedule import LossSchedule

    assert LossSchedule.from_yaml(shown) == sweep.trials[2].schedule
