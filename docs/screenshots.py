"""Takes the pictures of the report and of MLflow's pages that the documentation shows.

    python docs/screenshots.py                        # of a simulated sweep, in about two minutes
    python docs/screenshots.py --home runs --sweep scenes   # of a real one

Needs chromium and chromedriver (Debian: chromium, chromium-driver) and the extra ``test``.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from lossweep.dashboards.mlflow.content import ROLE_TAG, SWEEP_TAG
from lossweep.dashboards.mlflow.views import run_link
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.report.overlays import OverlayTile, tile
from lossweep.dashboards.serving.dashboard import start_dashboard
from lossweep.search.study.history import SweepHistory

Report = Callable[[SweepHistory], str]
OUT = Path(__file__).parent
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)
CHARTS = ("schedule", "stops", "plane", "progress", "matters", "overlays")
LARGEST = 300_000
CLOSE_ASSISTANT = (
    "localStorage.setItem('mlflow.assistant.panelOpen', 'false');"
    "for (const key of Object.keys(localStorage))"
    " if (key.includes('panelOpen')) localStorage.setItem(key, 'false');"
)


def simulated() -> tuple[SweepHistory, Report]:
    """A simulated sweep of the preset ``cycling``, with overlays of drawn vehicles."""
    from lossweep.search.simulation.sweeps import simulate_sweep
    from lossweep.spaces.proposing.schedule_space import SpaceSpec

    sweep = simulate_sweep(
        trials=64, seed=3, epochs=16, name="vehicles", space=SpaceSpec.model_validate({"preset": "cycling"})
    )
    tiles = [drawn(number) for number in range(4)]
    return sweep, lambda history: build_report(history, tiles)


def drawn(number: int) -> OverlayTile:
    """A made-up scene: rectangles on texture, of which the winner finds more than the control."""
    chance = np.random.default_rng(number)
    image = chance.normal(110, 14, (96, 96, 3)).clip(0, 255)
    mask, winner, control = (np.zeros((96, 96), dtype=np.uint8) for _ in range(3))
    for _ in range(7):
        y, x = chance.integers(4, 80, 2)
        part = np.s_[y : y + 7, x : x + 12]
        image[part] += 70
        mask[part] = 1
        if chance.random() < 0.9:
            winner[y : y + 7, x : x + 11] = 1
        if chance.random() < 0.5:
            control[y + 1 : y + 7, x : x + 12] = 1
    for guess, alarms in ((winner, 1), (control, 3)):
        for y, x in chance.integers(4, 85, (alarms, 2)):
            guess[y : y + 5, x : x + 8] = 1
    return tile(f"scene {number}", image.clip(0, 255).astype(np.uint8), mask, winner, control)


def from_workspace(workspace: Path, name: str) -> tuple[SweepHistory, Report]:
    """A sweep as its database has it, and what builds its report with overlays from its checkpoints."""
    from lossweep.dashboards.report.sweep_report import SweepReport
    from lossweep.search.ledger import Ledger
    from lossweep.search.workspace import Workspace

    where = Workspace.at(workspace)
    ledger = Ledger(where.database_url)
    try:
        return ledger.history(name), SweepReport(where)
    finally:
        ledger.close()


def save(png: bytes, path: Path) -> None:
    """Write a picture with as many colours as its largest size allows."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colors in (256, 128, 64, 32):
        buffer = io.BytesIO()
        # Maximum coverage keeps the few pixels of the overlays' colours; a median cut would mix them away.
        paletted = picture.quantize(colors, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        paletted.save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= LARGEST:
            break
    path.write_bytes(buffer.getvalue())
    print(f"{path.name}: {picture.width}x{picture.height}, {buffer.tell() / 1000:.0f} kB")


def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the page did not become ready")
        time.sleep(0.2)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", dest="workspace", type=Path, default=Path("runs"))
    parser.add_argument("--sweep", help="name of a sweep there; a simulated one without it")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    sweep, build = from_workspace(chosen.workspace, chosen.sweep) if chosen.sweep else simulated()
    with tempfile.TemporaryDirectory(prefix="lossweep-screenshots-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        options = Options()
        options.binary_location = shutil.which("chromium") or "chromium"
        for option in (*OPTIONS.split(), f"--user-data-dir={work / 'profile'}", "--window-size=1240,1000"):
            options.add_argument(option)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
        try:
            report(driver, work, sweep, build, chosen.out)
            mlflow_pages(driver, work, sweep, build, chosen.out)
        finally:
            driver.quit()


def report(driver: webdriver.Chrome, work: Path, sweep: SweepHistory, build: Report, out: Path) -> None:
    """The report's head and its plots."""
    page = work / "report.html"
    page.write_text(build(sweep), encoding="utf-8")
    driver.get(page.as_uri())
    wait(lambda: driver.execute_script("return document.documentElement.dataset.drawn") == "yes")
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.set_window_size(1240, height)
    time.sleep(1.0)  # plotly lays out anew
    save(driver.find_element("id", "headline").screenshot_as_png, out / "report-headline.png")
    for name in CHARTS:
        save(driver.find_element("id", name).screenshot_as_png, out / f"report-{name}.png")


def mlflow_pages(driver: webdriver.Chrome, work: Path, sweep: SweepHistory, build: Report, out: Path) -> None:
    """MLflow's leaderboard, curves, and the report inside it."""
    import mlflow

    uri = f"sqlite:///{work / 'mlflow.db'}"
    driver.set_window_size(1600, 900)
    with start_dashboard(lambda: sweep, uri, port=0, report=build) as dashboard:
        base = dashboard.mlflow.partition("/#")[0]
        driver.get(dashboard.mlflow)
        wait(lambda: "matching run" in driver.execute_script("return document.body.innerText"))
        driver.execute_script(CLOSE_ASSISTANT)
        client = mlflow.MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name("lossweep")
        condition = f"tags.`{SWEEP_TAG}` = '{sweep.name}' AND tags.`{ROLE_TAG}` = 'sweep'"
        parent = client.search_runs([found.experiment_id], condition)[0].info.run_id
        links = {
            "mlflow-leaderboard": dashboard.views["leaderboard"],
            "mlflow-curves": dashboard.views["curves"],
            "mlflow-report": run_link(base, found.experiment_id, parent, "report.html"),
        }
        for name, link in links.items():
            driver.get("about:blank")
            driver.get(link)
            time.sleep(12.0)  # the page loads in several steps and tells of none
            save(driver.get_screenshot_as_png(), out / f"{name}.png")


if __name__ == "__main__":
    main()
