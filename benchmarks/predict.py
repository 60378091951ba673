"""What predicting a large scene takes: seconds, and the most memory of ``lossweep predict``.

    python benchmarks/predict.py [--side 30000] [--products masks] [--folder FOLDER]

A synthetic GeoTIFF of side x side pixels and three bands, deflated in blocks of 512 pixels, is predicted by
two convolutions, so that reading, blending and writing are what is measured. The image alone would take 2.7
GB in memory, and its normalized values 10.8 GB. Prints one line: the most resident memory of the process (the
kernel's ``ru_maxrss``), its seconds, and the megabytes of the mask.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.inference.model_files import save_model
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.inference.spec import SegmenterSpec
from lossweep.trainers.plan import ModelSpec


class Near(nn.Sequential):
    """Two convolutions of three by three."""

    def __init__(self, in_channels: int, classes: int) -> None:
        """Build it.

        Args:
            in_channels: bands of an image.
            classes: logits of a pixel.
        """
        super().__init__(
            nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, classes, 3, padding=1)
        )


def write_scene(path: Path, side: int) -> None:
    """Write a scene, a row of blocks at a time."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    block = 512
    random = np.random.default_rng(0)
    fields = random.integers(0, 256, (3, block // 32, block // 32), np.uint8)
    pattern = fields.repeat(32, axis=1).repeat(32, axis=2)
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": from_origin(500_000.0, 4_650_000.0, 0.5, 0.5),
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
    }
    with rasterio.Env(GDAL_CACHEMAX=64 * 2**20), rasterio.open(path, "w", **profile) as file:
        for top in range(0, side, block):
            rows = min(block, side - top)
            strip = np.tile(np.roll(pattern, top // block * 7, axis=1), (1, 1, -(-side // block)))
            file.write(strip[:, :rows, :side], window=Window(0, top, side, rows))


def write_model(path: Path) -> None:
    """Write the model's file."""
    torch.manual_seed(0)
    spec = SegmenterSpec(
        model=ModelSpec(architecture="predict:Near"),
        classes=("background", "object"),
        normalization=Normalization(mean=(112.0,) * 3, std=(73.0,) * 3),
    )
    save_model(Segmenter.of(Near(3, 1), spec, device="cpu"), path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--products", nargs="+", default=["masks"])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        write_scene(folder / "scene.tif", given.side)
        write_model(folder / "model.pt")
        command = [sys.executable, "-m", "lossweep", "predict", "model.pt", "scene.tif", "-o", "out"]
        for product in given.products:
            command += ["--write", product]
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        written = sum(path.stat().st_size for path in (folder / "out").glob("*.*"))
    cpu, most = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20
    print(
        f"{given.side} x {given.side}, {' and '.join(given.products)}: at most {most:.2f} GiB, "
        f"{seconds:.0f} s ({cpu:.0f} s of CPU), {written / 1e6:.0f} MB written"
    )


if __name__ == "__main__":
    main()
