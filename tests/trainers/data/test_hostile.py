"""Damaged and misleading files: one clear line that names each, no traceback, none silently dropped."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.loading import MOST_SHOWN, load_data
from lossweep.trainers.data.sources.images import as_image, read_header, read_picture
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.spec import FolderSource, Fractions

HALF = np.tile(np.uint8([0, 1]), (40, 24))


def truncated_png(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.write_bytes(path.read_bytes()[:200])
    return path


def empty_mask_file(root: Path) -> Path:
    path = root / "train/masks/train1.png"
    path.write_bytes(b"")
    return path


def text_for_an_image(root: Path) -> Path:
    path = root / "val/images/val0.png"
    path.write_text("<html>404</html>")
    return path


def index_seven(root: Path) -> Path:
    path = root / "train/masks/train0.png"
    mask = HALF.copy()
    mask[0, :3] = 7
    Image.fromarray(mask).save(path)
    return path


def grey_png(path: Path, bits: int, rows: list[bytes], width: int) -> None:
    """Write a grey PNG of any depth; Pillow writes 8 bits and 16."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + len(rows).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def index_three_in_two_bits(root: Path) -> Path:
    """Spread over 0 to 255, as decoders do, a 3 would be the ignored value."""
    path = root / "train/masks/train0.png"
    grey_png(path, 2, [bytes([0b01_00_00_11]) + bytes([0b01_00_01_00] * 11)] * 40, 48)
    return path


def truncated_deep_png(root: Path) -> Path:
    deep = np.random.default_rng(0).integers(0, 65536, (40, 48), np.uint16)
    path = root / "train/images/train1.png"
    Image.fromarray(deep).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def rgb_mask(root: Path) -> Path:
    path = root / "test/masks/test0.png"
    Image.fromarray(np.dstack([HALF * 255] * 3)).save(path)
    return path


def nan_in_a_tiff(root: Path) -> Path:
    pixels = np.random.default_rng(0).random((40, 48, 3)).astype(np.float32)
    for old in root.glob("*/images/*.png"):
        old.unlink()
        tifffile.imwrite(old.with_suffix(".tif"), pixels, photometric="rgb")
    path = root / "train/images/train2.tif"
    pixels[3, 4, 1] = np.nan
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path


def decompression_bomb(root: Path) -> Path:
    path = root / "train/images/train1.png"
    rows = zlib.compressobj(9)
    data = (
        b"".join(rows.compress(bytes(30_001)) for _ in range(60)) + rows.flush()
    )  # the header lies about the rest

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    size = (30_000).to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + bytes([8, 0, 0, 0, 0]))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def tiff_bomb(root: Path) -> Path:
    old = root / "train/images/train1.png"
    old.unlink()
    path = old.with_suffix(".tif")
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        places = [tiff.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]  # type: ignore[union-attr]  # a page, not a frame
        widths = [tiff.pages[0].tags[name].dtype for name in ("ImageWidth", "ImageLength")]  # type: ignore[union-attr]  # likewise
    for place, kind in zip(places, widths, strict=True):
        size = 2 if int(kind) == 3 else 4
        content[place : place + size] = (30_000).to_bytes(size, "little")
    path.write_bytes(content)
    return path


def symlink_loop(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.unlink()
    path.symlink_to(path)
    return path


def dangling_link(root: Path) -> Path:
    path = root / "train/masks/train1.png"
    path.unlink()
    path.symlink_to(root / "nowhere.png")
    return path


def folder_named_like_an_image(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.unlink()
    path.mkdir()
    return path


def pipe(root: Path) -> Path:
    path = root / "train/masks/train1.png"
    path.unlink()
    os.mkfifo(path)
    return path


def device(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.unlink()
    path.symlink_to("/dev/zero")
    return path


def missing_mask(root: Path) -> Path:
    (root / "val/masks/val1.png").unlink()
    return root / "val/images/val1.png"


def mask_without_image(root: Path) -> Path:
    (root / "val/images/val1.png").unlink()
    return root / "val/masks/val1.png"


def size_mismatch(root: Path) -> Path:
    path = root / "val/masks/val1.png"
    Image.fromarray(HALF[:30]).save(path)
    return path


def another_number_of_bands(root: Path) -> Path:
    path = root / "test/images/test0.png"
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(path)
    return path


def two_pages(root: Path) -> Path:
    path = root / "train/masks/train0.tif"
    (root / "train/masks/train0.png").unlink()
    tifffile.imwrite(path, np.zeros((2, 40, 48), np.uint8), photometric="minisblack")
    return path


def twice_the_same_stem(root: Path) -> Path:
    path = root / "train/images/train0.tif"
    tifffile.imwrite(path, np.zeros((40, 48, 3), np.uint8), photometric="rgb")
    return path if path.name > "train0.png" else root / "train/images/train0.png"


def fractional_mask(root: Path) -> Path:
    (root / "train/masks/train0.png").unlink()
    path = root / "train/masks/train0.tif"
    tifffile.imwrite(path, np.full((40, 48), 0.5, np.float32))
    return path


HOSTILE: dict[Callable[[Path], Path], str] = {
    truncated_png: "damaged",
    empty_mask_file: "empty (0 bytes)",
    text_for_an_image: "neither PNG, JPEG nor TIFF",
    index_seven: "7 in 3 pixels; allowed: 0 to 1 (background, foreground), or 255 for ignored",
    index_three_in_two_bits: "3 in 40 pixels; allowed: 0 to 1",
    truncated_deep_png: "damaged",
    rgb_mask: "colors, not class indices",
    nan_in_a_tiff: "NaN",
    decompression_bomb: "30000 x 30000",
    tiff_bomb: "30000 x 30000",
    symlink_loop: "links",
    dangling_link: "missing",
    folder_named_like_an_image: "folder",
    pipe: "a pipe, socket or device",
    device: "a pipe, socket or device",
    missing_mask: "image has no mask",
    mask_without_image: "mask has no image",
    size_mismatch: "48 x 30 pixels; allowed: 48 x 40",
    another_number_of_bands: "1 bands of uint8; allowed: 3 bands of uint8",
    two_pages: "2 pages",
    twice_the_same_stem: "the same stem",
    fractional_mask: "no whole numbers",
}


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_each_gets_one_line_that_names_the_file(
    spoil: Callable[[Path], Path], folder_spec: FolderSource, tmp_path: Path
) -> None:
    path = spoil(Path(folder_spec.root))
    with pytest.raises(UserError) as caught:
        load_data(folder_spec, tmp_path / "cache")
    about = [str(problem) for problem in caught.value.problems if path.stem in str(problem)]
    assert len(about) == 1
    assert HOSTILE[spoil] in about[0]
    assert "\n" not in about[0]
    report = check_data(folder_spec, tmp_path / "cache")
    assert [str(problem) for problem in report.problems] == [
        str(problem) for problem in caught.value.problems
    ]
    assert any(HOSTILE[spoil] in line for line in report.lines())


@pytest.mark.parametrize(
    "spoil",
    [
        empty_mask_file,
        text_for_an_image,
        decompression_bomb,
        tiff_bomb,
        symlink_loop,
        dangling_link,
        missing_mask,
        size_mismatch,
        two_pages,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_headers_and_names_tell_before_a_sweep_starts(
    spoil: Callable[[Path], Path], folder_spec: FolderSource
) -> None:
    path = spoil(Path(folder_spec.root))
    with pytest.raises(UserError, match=path.stem):
        check_quick(folder_spec)


def test_all_are_told_at_once_and_nothing_is_kept(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    paths = [spoil(root) for spoil in (truncated_png, index_seven, size_mismatch, rgb_mask)]
    with pytest.raises(UserError) as caught:
        load_data(folder_spec, tmp_path / "cache")
    assert len(caught.value.problems) == 4
    assert all(any(str(path) in str(problem) for problem in caught.value.problems) for path in paths)
    assert not [path for path in (tmp_path / "cache/data").iterdir() if path.is_dir()]


def test_one_folder_with_a_split_names_each_as_well(folder_spec: FolderSource, tmp_path: Path) -> None:
    """Whatever split a file falls into, and before files are divided."""
    root = Path(folder_spec.root)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
        for split in ("train", "val", "test"):
            for path in (root / split / kind).iterdir():
                path.rename(root / kind / path.name)
    spoilt = [root / "images/train1.png", root / "masks/val0.png", root / "masks/train0.png"]
    spoilt[0].write_bytes(spoilt[0].read_bytes()[:200])
    spoilt[1].write_bytes(b"")
    Image.fromarray(HALF.astype(np.uint16) * 700).save(spoilt[2])
    (root / "masks/test0.png").unlink()
    spec = folder_spec.model_copy(update={"split": Fractions(train=0.6, val=0.2, test=0.2)})
    problems = [str(problem) for problem in check_data(spec, tmp_path / "cache").problems]
    words = ("damaged", "empty (0 bytes)", "700 in 960 pixels")
    for path, said in zip(spoilt, words, strict=True):
        assert [said in problem for problem in problems if str(path) in problem] == [True]
    assert any("test0.png: image has no mask" in problem for problem in problems)
    assert len(problems) == 4


def test_a_long_list_is_cut_and_says_so(folder_spec: FolderSource, tmp_path: Path) -> None:
    masks = Path(folder_spec.root) / "train/masks"
    for index in range(30):
        Image.fromarray(HALF).save(masks / f"lonely{index}.png")
    with pytest.raises(UserError, match="and 10 more problems") as caught:
        load_data(folder_spec, tmp_path / "cache")
    assert len(caught.value.problems) == MOST_SHOWN + 1
    assert len(check_data(folder_spec, tmp_path / "cache").problems) == 30


def test_unreadable_files_are_named(
    folder_spec: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions don't bind root, whom tests may run as: let opening fail as it would for others."""
    path = Path(folder_spec.root) / "train/masks/train0.png"
    path.chmod(0)
    if os.access(path, os.R_OK):
        opened = Path.open

        def refuse(self: Path, *args: object, **kwargs: object) -> object:
            if self == path:
                raise PermissionError(13, "Permission denied", str(self))
            return opened(self, *args, **kwargs)  # type: ignore[call-overload]  # handed on as it came

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=f"{path}: file can't be read: permission denied"):
        load_data(folder_spec, tmp_path / "cache")


@pytest.mark.parametrize(
    ("closed", "refused", "lines"),
    [
        ("", "", 3),  # a root that may not be searched: its three splits
        ("val", "val", 2),
        ("train/images", "train/images", 3),  # listed but not searched: each of its files
    ],
)
def test_a_folder_closed_to_the_user_is_named_not_called_missing(
    closed: str,
    refused: str,
    lines: int,
    folder_spec: FolderSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As above: permissions don't bind root, so what the system calls would answer is put in their place."""
    folder = Path(folder_spec.root) / closed

    def refusing(real: Callable[..., object]) -> Callable[..., object]:
        def call(self: Path, *args: object, **kwargs: object) -> object:
            if self != folder and self.is_relative_to(folder):
                raise PermissionError(13, "Permission denied", str(self))
            return real(self, *args, **kwargs)

        return call

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
    problems = check_data(folder_spec, tmp_path / "cache").problems
    assert len(problems) == lines
    for problem in problems:
        assert str(Path(folder_spec.root) / refused) in str(problem)
        assert "can't be read: permission denied" in str(problem)


def test_a_folder_that_cannot_be_listed_is_one_problem(
    folder_spec: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, scandir = Path(folder_spec.root) / "train/masks", os.scandir

    def refuse(path: Path) -> object:
        if path == masks:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("lossweep.trainers.data.sources.pairs.os.scandir", refuse)
    (problem,) = check_data(folder_spec, tmp_path / "cache").problems
    assert str(problem) == f"{masks}: folder can't be read: permission denied"


def test_a_line_break_in_a_name_breaks_no_line(folder_spec: FolderSource, tmp_path: Path) -> None:
    (Path(folder_spec.root) / "train/images/train0\n.png").write_bytes(b"")
    (problem,) = check_data(folder_spec, tmp_path / "cache").problems
    assert "train0\\n.png: image has no mask" in str(problem)
    assert "\n" not in str(problem)


def test_names_that_no_terminal_takes_are_shown_escaped(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    try:
        for index, name in enumerate((b"\xe9.png", b"a\n\x1b[31mb.png")):
            for kind in ("images", "masks"):
                (root / f"train/{kind}/train{index}.png").rename(root / f"train/{kind}" / os.fsdecode(name))
        Path(os.fsdecode(bytes(root / "train/images") + b"/\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    for name in (b"\xe9.png", b"a\n\x1b[31mb.png"):
        image = root / "train/images" / os.fsdecode(name)
        (root / "val/images/val0.png").write_bytes(image.read_bytes())
        lines = check_data(folder_spec, tmp_path / "cache").lines()
        assert all(line.isprintable() for line in lines)
        assert any("the splits leak" in line and repr(image.name)[1:-1] in line for line in lines)
    assert any("\\udcff.txt: left out" in line for line in lines)
    (root / "val/masks/val1.png").rename(root / "val/masks" / os.fsdecode(b"\xe9.png"))
    lines = check_data(folder_spec, tmp_path / "cache").lines()
    assert any("\\udce9.png: mask has no image" in line for line in lines)
    assert all(line.isprintable() for line in lines)


# What is odd but has one sensible meaning is loaded, and said in a note.


def test_palette_alpha_and_one_bit_files_are_understood_and_noted(
    folder_spec: FolderSource, tmp_path: Path
) -> None:
    root = Path(folder_spec.root)
    truth = np.asarray(Image.open(root / "train/masks/train0.png"))
    paletted = Image.fromarray(truth).convert("P")
    paletted.putpalette([0, 0, 0, 200, 30, 30])
    paletted.save(root / "train/masks/train0.png")
    Image.fromarray(truth.astype(bool)).save(root / "train/masks/train1.png")
    image = Image.open(root / "train/images/train0.png")
    image.putalpha(255)
    image.save(root / "train/images/train0.png")
    holed = np.dstack(
        [np.asarray(Image.open(root / "train/images/train2.png")), np.full((40, 48), 255, np.uint8)]
    )
    holed[:7, :, 3] = 0
    Image.fromarray(holed).save(root / "train/images/train2.png")
    data = load_data(folder_spec, tmp_path / "cache")
    masks = [b.masks[0, :40, :48].numpy() for b in data.train.evaluation_batches(1, "cpu")]
    np.testing.assert_array_equal(masks[0], truth)
    np.testing.assert_array_equal(masks[1], truth)
    assert (masks[2][:7] == 255).all()
    assert not (masks[2][7:] == 255).any()
    assert data.channels == 3
    notes = "\n".join(check_data(folder_spec, tmp_path / "cache").lines())
    assert "train/images/train0.png: alpha channel dropped" in notes
    assert "train/images/train2.png: transparent pixels taken as ignored" in notes
    assert "train/images/train0.png: palette mask, its indices taken as class indices" in notes


def test_shallow_masks_are_indices_or_with_colors_what_a_viewer_shows(tmp_path: Path) -> None:
    by_index = MaskCoding(FolderSource(source="folder", root="x", classes=("a", "b", "c", "d")))
    by_color = MaskCoding(
        FolderSource(source="folder", root="x", classes=("a", "b"), colors={"b": 255, "ignore": 85})
    )
    path = tmp_path / "x.png"
    grey_png(path, 2, [bytes([0b00_01_10_11])] * 2, 4)
    mask, _ = by_index.decode(read_picture(path, 100), "x")
    np.testing.assert_array_equal(mask, [[0, 1, 2, 3]] * 2)
    grey_png(path, 2, [bytes([0b00_01_11_11])] * 2, 4)
    mask, _ = by_color.decode(read_picture(path, 100), "x")
    np.testing.assert_array_equal(mask, [[0, 255, 1, 1]] * 2)
    np.testing.assert_array_equal(as_image(read_picture(path, 100))[0][0, :, 0], [0, 85, 255, 255])
    Image.fromarray(np.eye(4, dtype=bool)).save(path)
    np.testing.assert_array_equal(by_index.decode(read_picture(path, 100), "x")[0], np.eye(4))
    np.testing.assert_array_equal(by_color.decode(read_picture(path, 100), "x")[0], np.eye(4))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_one_bit_tiff_holds_what_a_viewer_shows(photometric: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.eye(4, dtype=bool), photometric=photometric)
    shown = np.asarray(Image.open(tmp_path / "x.tif"))
    picture = read_picture(tmp_path / "x.tif", 100)
    np.testing.assert_array_equal(picture.values[..., 0], shown)


def test_a_palette_image_gives_its_colors(folder_spec: FolderSource, tmp_path: Path) -> None:
    path = Path(folder_spec.root) / "train/images/train0.png"
    Image.open(path).quantize(16).save(path)
    colors = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(as_image(read_picture(path, 10**6))[0], colors)
    assert load_data(folder_spec, tmp_path / "cache").channels == 3


def test_nan_where_the_mask_ignores_is_no_problem(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    nan_in_a_tiff(root)
    mask = np.array(Image.open(root / "train/masks/train2.png"))
    mask[3, 4] = 255
    Image.fromarray(mask).save(root / "train/masks/train2.png")
    data = load_data(folder_spec, tmp_path / "cache")
    assert all(batch.images.isfinite().all() for batch in data.train.evaluation_batches(1, "cpu"))


def test_other_files_beside_the_images_are_noted(folder_spec: FolderSource, tmp_path: Path) -> None:
    (Path(folder_spec.root) / "train/images/notes.txt").write_text("x")
    (Path(folder_spec.root) / "train/images/.DS_Store").write_text("x")
    report = check_data(folder_spec, tmp_path / "cache")
    assert report.ok
    assert [note for note in report.notes if "notes.txt" in note]
    assert not [note for note in report.notes if "DS_Store" in note]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: root.rename(root.with_name("moved")), "data folder is missing"),
        (lambda root: (root / "val").rename(root / "validation"), "folder is missing"),
        (lambda root: (root / "train/masks").rename(root / "train/labels"), "folder is missing"),
        (
            lambda root: (root / "train").rename(root.with_name("x")) and (root / "images").mkdir(),
            "say how to divide",
        ),
    ],
)
def test_a_wrong_layout_is_explained(
    change: Callable[[Path], object], words: str, folder_spec: FolderSource, tmp_path: Path
) -> None:
    change(Path(folder_spec.root))
    with pytest.raises(UserError, match=words):
        load_data(folder_spec, tmp_path / "cache")


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
