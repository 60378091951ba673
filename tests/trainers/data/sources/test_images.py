"""Whatever bytes a file holds: it is read as an image, or named in one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.sources.images import read_header, read_picture
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.picture import as_image
from lossweep.trainers.data.spec import FolderSource


def _samples() -> list[bytes]:
    """One small file of each kind that is read."""
    import io

    generator = np.random.default_rng(0)
    found = []
    for mode, shape in (("L", (8, 9)), ("RGB", (8, 9, 3)), ("RGBA", (8, 9, 4)), ("I;16", (8, 9))):
        pixels = generator.integers(0, 256, shape, np.uint16 if mode == "I;16" else np.uint8)
        for format_ in ("PNG", "JPEG", "TIFF"):
            if format_ == "JPEG" and mode in ("RGBA", "I;16"):
                continue
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, format_)
            found.append(file.getvalue())
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 4, (8, 9), np.uint8)).convert("P").save(file, "PNG")
    found.append(file.getvalue())
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        generator.random((8, 9, 5)).astype(np.float32),
        compression="zlib",
        photometric="minisblack",
        planarconfig="contig",
    )
    return [*found, file.getvalue()]


SAMPLES = _samples()


def _damaged(sample: bytes, changes: list[tuple[int, int]]) -> bytes:
    content = bytearray(sample)
    for place, value in changes:
        content[place % len(content)] = value
    return bytes(content)


def _one_clear_line(error: UserError, path: Path) -> None:
    (problem,) = error.problems
    assert problem.file == str(path)
    assert "\n" not in str(problem)
    assert 10 < len(str(problem)) < 500


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.tuples(st.sampled_from(SAMPLES), st.integers(0, 400)).map(lambda drawn: drawn[0][: drawn[1]]),
        st.tuples(
            st.sampled_from(SAMPLES),
            st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
        ).map(lambda drawn: _damaged(*drawn)),
    )
)
@example(b"II*\0")
@example(b"\x89PNG\r\n\x1a\n")
@example(b"\xff\xd8\xff")
def test_whatever_a_file_holds_it_is_an_image_or_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    coding = MaskCoding(FolderSource(source="folder", root="x"))
    limit = 100_000
    try:
        header = read_header(path, limit)
        picture = read_picture(path, limit)
    except UserError as error:
        _one_clear_line(error, path)
        return
    assert picture.values.shape[:2] == (header.height, header.width)
    try:
        coding.decode(picture, str(path))
    except UserError as error:
        _one_clear_line(error, path)
    try:
        image, _ = as_image(picture)
        assert image.ndim == 3
        assert image.dtype in (np.uint8, np.uint16, np.float32)
    except ValueError:
        pass  # said with the file's name by the source
