"""Files predicted into a folder: what goes where, what is done already, how a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock, Timeout

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.whole_images import STRIDE
from lossweep.trainers.data.sources.images import SUFFIXES
from lossweep.trainers.inference.blending import bands
from lossweep.trainers.inference.parts import Parts
from lossweep.trainers.inference.polygons import Coordinates, polygons_problem, write_polygons
from lossweep.trainers.inference.scenes import TIFFS, Place, PlacedScene, opened_scene
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.inference.tiling import Tiling
from lossweep.trainers.inference.writing import write_mask, write_probabilities

Product = Literal["masks", "probabilities", "polygons"]
Progress = Callable[[str, int, int], None]
"""Called with (file, rows of tiles done, of how many)."""

_STATE: Final = ".lossweep"
"""Folder in the output: what it was predicted with, and what is under way."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How images are predicted, and what is written.

    Attributes:
        products: what is written of each image.
        tile: side of a tile in pixels; None: as much as one pass of the trainer's evaluations takes.
        overlap: of neighbours in pixels; None: a quarter of the side.
        flips: whether to take the mean over mirrored tiles.
        coordinates: of polygons.
    """

    products: tuple[Product, ...] = ("masks",)
    tile: int | None = None
    overlap: int | None = None
    flips: bool = False
    coordinates: Coordinates = "wgs84"

    def problems(self) -> Iterator[Problem]:
        """What is wrong with them."""
        for key, value in (("--tile", self.tile), ("--overlap", self.overlap)):
            if value is not None and (value <= 0 or value % STRIDE):
                yield Problem(
                    "not whole strides", key=key, found=str(value), allowed=f"multiples of {STRIDE}"
                )
        if self.overlap is not None and self.overlap > (self.tile or 2 * self.overlap) // 2:
            allowed = f"at most half of --tile, {(self.tile or 0) // 2}"
            yield Problem("overlap is too large", key="--overlap", found=str(self.overlap), allowed=allowed)


@dataclass(frozen=True, slots=True)
class Job:
    """One image to be predicted.

    Attributes:
        source: its file.
        outputs: the files to be written.
    """

    source: Path
    outputs: dict[Product, Path]

    @property
    def done(self) -> bool:
        """Whether all is there, and not older than the image."""
        made = [path.stat().st_mtime_ns for path in self.outputs.values() if path.is_file()]
        return len(made) == len(self.outputs) and min(made) >= self.source.stat().st_mtime_ns


def jobs_of(inputs: Sequence[Path], output: Path, settings: Settings) -> list[Job]:
    """Find the images, and where what is predicted of each goes: as they lie in the folders that were named.

    Raises:
        UserError: with each input that is missing, and files that would be written twice.
    """
    problems, found = list(settings.problems()), dict[Path, Path]()
    for given in inputs:
        if given.is_dir():
            files = [
                path
                for path in sorted(given.rglob("*"))
                if path.suffix.lower() in SUFFIXES
                and path.is_file()
                and not any(part.startswith(".") for part in path.relative_to(given).parts)
                and output.resolve() not in path.resolve().parents
            ]
            if not files:
                allowed = ", ".join(SUFFIXES)
                problems.append(Problem("there is no image in this folder", file=str(given), allowed=allowed))
            found |= {path: path.relative_to(given) for path in files}
        elif given.is_file():
            found[given] = Path(given.name)
        else:
            problems.append(Problem("there is no such image or folder", file=str(given)))
    jobs, taken = list[Job](), dict[Path, Path]()
    for source, name in found.items():
        job = Job(source, {product: output / _name(name, product) for product in settings.products})
        for path in job.outputs.values():
            if path in taken and taken[path] != source:
                message, other = "two images would be written to one file", str(taken[path])
                problems.append(Problem(message, file=str(source), found=other))
            if path.resolve() == source.resolve():
                problems.append(Problem("would be written over", file=str(source), key="--output"))
            taken[path] = source
        jobs.append(job)
    if problems:
        raise UserError(problems)
    return jobs


def _name(source: Path, product: Product) -> Path:
    match product:
        case "masks":
            return source.with_suffix(".tif" if source.suffix.lower() in TIFFS else ".png")
        case "probabilities":
            return source.with_suffix(".probabilities.tif")
        case "polygons":
            return source.with_suffix(".geojson")


class Predictor:
    """Predicts images into a folder, one run of one model at a time.

    Args:
        segmenter: predicts.
        output: the folder; it is made when missing.
        settings: how, and what is written.
        anew: forget what was predicted there before.

    Raises:
        UserError: the folder holds predictions of another model or by other settings, or can't be written.
    """

    def __init__(self, segmenter: Segmenter, output: Path, settings: Settings, *, anew: bool = False) -> None:
        self._segmenter, self._settings = segmenter, settings
        self._state, self._anew = output / _STATE, anew
        self._key = json.dumps({"model": fingerprint(segmenter), **asdict(settings)}, sort_keys=True)
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                Problem(f"can't be written: {error.strerror}", key="--output", file=str(output))
            ) from None
        note = self._state / "predicted-with.json"
        before = note.read_text(encoding="utf-8") if note.is_file() else self._key
        if before != self._key and not anew:
            raise UserError(
                Problem(
                    "the folder holds predictions of another model, or by other settings",
                    file=str(output),
                    hint="choose another folder, or --overwrite",
                )
            )
        note.write_text(self._key, encoding="utf-8")

    def run(self, jobs: Sequence[Job], progress: Progress) -> int:
        """Predict what is not there yet.

        Everything is looked at before anything is predicted. What turns out to be damaged later on is told at
        the end, after all others.

        Args:
            jobs: from `jobs_of`.
            progress: told of every row of tiles.

        Returns:
            How many images were there already.

        Raises:
            UserError: with every image that can't be predicted.
        """
        lock = FileLock(self._state / "lock")
        try:
            with lock.acquire(timeout=0):
                return self._run([job for job in jobs if self._anew or not job.done], len(jobs), progress)
        except Timeout:
            message = "another lossweep predict writes there"
            raise UserError(Problem(message, file=str(self._state.parent), key="--output")) from None

    def _run(self, jobs: Sequence[Job], total: int, progress: Progress) -> int:
        if problems := [problem for job in jobs for problem in self._look(job)]:
            raise UserError(problems)
        for job in jobs:
            try:
                self._predict(job, progress)
            except UserError as error:
                problems.extend(error.problems)
        if problems:
            raise UserError(problems)
        return total - len(jobs)

    def _look(self, job: Job) -> Iterable[Problem]:
        try:
            with self._opened(job) as scene:
                problem = (
                    polygons_problem(str(job.source), scene.place) if "polygons" in job.outputs else None
                )
            return [problem] if problem is not None else []
        except UserError as error:
            return error.problems

    def _opened(self, job: Job) -> Any:
        segmenter = self._segmenter
        return opened_scene(job.source, segmenter.spec.normalization, segmenter.pass_size.pixels)

    def _predict(self, job: Job, progress: Progress) -> None:
        for path in job.outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(str(job.source.resolve()).encode(errors="surrogatepass")).hexdigest()[:16]
        stat = job.source.stat()
        parts = Parts(
            self._state / name, {"with": self._key, "size": stat.st_size, "modified": stat.st_mtime_ns}
        )
        with self._opened(job) as scene:
            settings = self._settings
            tiling = Tiling.of(scene.shape, self._segmenter.pass_size, settings.tile, settings.overlap)
            total, done = len(tiling.rows.starts), parts.done
            progress(str(job.source), done, total)
            found = bands(
                self._segmenter,
                scene,
                tiling,
                flips=settings.flips,
                probabilities="probabilities" in job.outputs,
                first=done,
            )
            for band in found:
                parts.add(band)
                progress(str(job.source), band.index + 1, total)
            self._write(job, parts, scene)
        parts.remove()

    def _write(self, job: Job, parts: Parts, scene: PlacedScene) -> None:
        """Write the files, each in one go: the mask last, so that what is there says that all is."""
        classes, shape, place = self._segmenter.spec.classes, scene.shape, scene.place
        masks = (band.mask[None] for band in parts.bands())
        if (path := job.outputs.get("probabilities")) is not None:
            shares = (band.probabilities for band in parts.bands() if band.probabilities is not None)
            write_probabilities(path, shares, shape, classes, place)
        if (path := job.outputs.get("polygons")) is not None:
            beside = parts.folder / "mask.tif"
            write_mask(beside, (band.mask[None] for band in parts.bands()), shape, classes, Place())
            write_polygons(path, beside, classes, place, self._settings.coordinates)
        if (path := job.outputs.get("masks")) is not None:
            write_mask(path, masks, shape, classes, place)


def fingerprint(segmenter: Segmenter) -> str:
    """Return ``sha256:...`` of the weights and of all that predictions follow from beside them."""
    spec = segmenter.spec.model_dump(mode="json", exclude={"provenance", "rule"})
    found = hashlib.sha256(json.dumps([spec, str(segmenter.numerics).split()[1]], sort_keys=True).encode())
    for name, tensor in sorted(segmenter.model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"sha256:{found.hexdigest()}"
