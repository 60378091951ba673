"""``lossweep predict``: a trained model on images of any size."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lossweep.commands.arguments import WorkspaceFolder
from lossweep.commands.models import (
    Device,
    ModelArgument,
    Precision,
    PrecisionOption,
    TrainedWith,
    TrialNumber,
    loaded,
)


class Product(StrEnum):
    """What is written of an image."""

    MASKS = "masks"
    PROBABILITIES = "probabilities"
    POLYGONS = "polygons"


class Coordinates(StrEnum):
    """What polygons are in."""

    WGS84 = "wgs84"
    SCENE = "scene"


def predict(
    model: ModelArgument,
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Images, GeoTIFF scenes, or folders.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to write them.", show_default=False),
    ],
    write: Annotated[
        list[Product], typer.Option("--write", help="What to write of each image. May be repeated.")
    ] = [Product.MASKS],  # noqa: B006 - typer copies it
    flips: Annotated[
        bool,
        typer.Option("--flips", help="The mean of four predictions, mirrored: four times as long."),
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(help="Side of a tile, in pixels.", show_default="what one pass of training's takes"),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Of neighbouring tiles, in pixels.", show_default="a quarter of --tile")
    ] = None,
    coordinates: Annotated[
        Coordinates,
        typer.Option("--crs", help="Of polygons: longitude and latitude (RFC 7946), or the scene's own."),
    ] = Coordinates.WGS84,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Predict anew what is there already.")
    ] = False,
    trial: TrialNumber = None,
    sweep_file: TrainedWith = None,
    precision: PrecisionOption = Precision.FLOAT32,
    device: Device = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Predict images and GeoTIFF scenes of any size, tile by tile, in bounded memory.

    MODEL is a file of `lossweep train` or `export --checkpoint`, or a sweep's name: its winner, as `export`
    chooses it. Georeference and nodata are kept. The same command goes on where it was stopped.
    """
    from lossweep.dashboards.terminal.tile_progress import tile_progress
    from lossweep.trainers.inference.predicting import Predictor, Settings, jobs_of

    settings = Settings(
        products=tuple(dict.fromkeys(each.value for each in write)),
        tile=tile,
        overlap=overlap,
        flips=flips,
        coordinates=coordinates.value,
    )
    jobs = jobs_of(inputs, output, settings)
    segmenter = loaded(
        model, trial=trial, sweep_file=sweep_file, precision=precision, device=device, workspace=workspace
    )
    predictor = Predictor(segmenter, output, settings, anew=overwrite)
    with tile_progress(len(jobs)) as progress:
        there = predictor.run(jobs, progress)
    words = " and ".join(settings.products)
    already = f", {there} of them already" if there else ""
    typer.echo(f"wrote {words} of {len(jobs)} image{'s' * (len(jobs) != 1)} to {output}{already}")
