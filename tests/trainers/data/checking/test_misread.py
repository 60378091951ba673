"""Data that can be read in two ways: refused, or named as suspicious; never trained on in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.checking.report import DataReport
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.spec import FolderSource, ImportSource
from lossweep.trainers.data.store.decoded import Store
from lossweep.trainers.data.store.scaling import fillings

SPLITS = {"train": 3, "val": 2}


def truth(index: int, shape: tuple[int, int] = (32, 32)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[4 + index : 12 + index, 6:14] = 1
    return mask


def data_set(
    root: Path,
    image: Callable[[np.ndarray, Path, int], None] | None = None,
    mask: Callable[[np.ndarray, Path, int], None] | None = None,
    names: tuple[str, str] = ("{}.png", "{}.png"),
    shape: tuple[int, int] = (32, 32),
) -> FolderSource:
    """Pairs written by ``image`` and ``mask``, each called with pixels, path and a running number."""
    generator, count = np.random.default_rng(0), 0
    for split, number in SPLITS.items():
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for index in range(number):
            stem = f"{split}{index}"
            pixels = generator.integers(60, 140, (*shape, 3), np.uint8)
            (image or save)(pixels, root / split / "images" / names[0].format(stem), count)
            (mask or save)(truth(count, shape), root / split / "masks" / names[1].format(stem), count)
            count += 1
    return FolderSource(source="folder", root=str(root), tile=32, classes=("background", "vehicle"))


def save(pixels: np.ndarray, path: Path, _: int) -> None:
    Image.fromarray(pixels).save(path)


def turned(orientation: int) -> Callable[[np.ndarray, Path, int], None]:
    def write(pixels: np.ndarray, path: Path, _: int) -> None:
        picture = Image.fromarray(pixels)
        exif = picture.getexif()
        exif[0x0112] = orientation
        picture.save(path, exif=exif)

    return write


def checked(spec: FolderSource | ImportSource, tmp_path: Path) -> DataReport:
    return check_data(spec, tmp_path / "cache")


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_an_image_that_is_shown_turned_from_its_mask_is_suspicious_until_it_is_decided(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    spec = data_set(tmp_path / "set", image=turned(orientation), names=(f"{{}}{suffix}", "{}.png"))
    report = checked(spec, tmp_path)
    assert report.ok
    (said,) = [line for line in report.suspicions if "EXIF" in line]
    assert said.startswith(f"train/images/train0{suffix} and 4 more: ")
    assert "`exif: apply` or `exif: ignore`" in said
    again = checked(spec, tmp_path)  # from the cache
    assert said in again.suspicions
    stored = {}
    for choice in ("apply", "ignore"):
        decided = spec.model_copy(update={"exif": choice})
        assert not [line for line in checked(decided, tmp_path).suspicions if "EXIF" in line]
        batch = next(load_data(decided, tmp_path / "cache").train.evaluation_batches(1, "cpu"))
        stored[choice] = batch.images.numpy()
        np.testing.assert_array_equal(batch.masks[0].numpy(), truth(0))
    assert (stored["apply"] != stored["ignore"]).any()


def test_files_that_are_turned_alike_fit_however_they_are_read(tmp_path: Path) -> None:
    both = turned(6)
    spec = data_set(tmp_path / "set", image=both, mask=both, names=("{}.jpg", "{}.png"), shape=(32, 64))
    assert not [line for line in checked(spec, tmp_path).suspicions if "EXIF" in line]
    applied = spec.model_copy(update={"exif": "apply"})
    batch = next(load_data(applied, tmp_path / "cache").train.evaluation_batches(1, "cpu"))
    np.testing.assert_array_equal(batch.masks[0].numpy(), np.rot90(truth(0, (32, 64)), -1))


def test_a_size_that_differs_by_a_quarter_turn_says_so(tmp_path: Path) -> None:
    """As by EXIF, or as by an array whose columns were saved first."""

    def upright(mask: np.ndarray, path: Path, count: int) -> None:
        save(np.rot90(mask, -1).copy(), path, count)

    by_exif = data_set(
        tmp_path / "exif", image=turned(6), mask=upright, names=("{}.jpg", "{}.png"), shape=(32, 64)
    )
    for check in (check_quick, lambda spec: load_data(spec, tmp_path / "cache")):
        with pytest.raises(UserError, match="stored turned by EXIF: `exif: apply` makes them fit"):
            check(by_exif)
    applied = by_exif.model_copy(update={"exif": "apply"})
    assert check_quick(applied).counts["train"] == 3
    batch = next(load_data(applied, tmp_path / "cache").train.evaluation_batches(1, "cpu"))
    np.testing.assert_array_equal(batch.masks[0].numpy(), np.rot90(truth(0, (32, 64)), -1))
    cut = data_set(tmp_path / "cut", mask=lambda m, p, c: save(m[:30], p, c))
    with pytest.raises(UserError, match="differ in size") as caught:
        check_quick(cut)
    assert "quarter turn" not in str(caught.value)
    plain = data_set(tmp_path / "plain", mask=upright, shape=(32, 64))
    with pytest.raises(UserError, match="differ by a quarter turn"):
        check_quick(plain)
    wrongly = data_set(tmp_path / "wrongly", image=turned(6), shape=(32, 64), names=("{}.jpg", "{}.png"))
    with pytest.raises(UserError, match="`exif: ignore` makes them fit"):
        check_quick(wrongly.model_copy(update={"exif": "apply"}))


def paletted(colors: list[int], turned_in: Callable[[int], bool] = lambda _: False) -> Callable[..., None]:
    def write(mask: np.ndarray, path: Path, count: int) -> None:
        other = turned_in(count)
        picture = Image.fromarray(1 - mask if other else mask).convert("P")
        picture.putpalette(colors[3:] + colors[:3] if other else colors)
        picture.save(path)

    return write


def test_palettes_that_contradict_each_other_are_a_problem_that_colors_solve(tmp_path: Path) -> None:
    odd = paletted([0, 0, 0, 250, 250, 250], lambda count: count == 3)
    spec = data_set(tmp_path / "set", mask=odd)
    (problem,) = checked(spec, tmp_path).problems
    assert problem.file == "val/masks/val0.png"
    assert problem.found == "index 0 is [250, 250, 250]"
    assert problem.allowed == "index 0 is [0, 0, 0] as in train/masks/train0.png and 3 more"
    assert "`colors: {vehicle: [250, 250, 250]}`" in str(problem)
    with pytest.raises(UserError, match="palettes of the masks differ"):
        load_data(spec, tmp_path / "cache")
    told = spec.model_copy(update={"colors": {"vehicle": (250, 250, 250)}})
    batches = load_data(told, tmp_path / "cache").val.evaluation_batches(1, "cpu")
    np.testing.assert_array_equal(next(batches).masks[0].numpy(), truth(3))


def test_the_same_color_under_another_index_is_a_problem_too(tmp_path: Path) -> None:
    def write(mask: np.ndarray, path: Path, count: int) -> None:
        picture = Image.fromarray(mask * (2 if count == 1 else 1)).convert("P")
        picture.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0] if count == 1 else [0, 0, 0, 200, 0, 0, 9, 9, 9])
        picture.save(path)

    spec = data_set(tmp_path / "set", mask=write).model_copy(update={"classes": ("ground", "car", "boat")})
    (problem,) = checked(spec, tmp_path).problems
    assert problem.found == "[200, 0, 0] is index 2"


def test_palettes_that_agree_on_what_occurs_are_no_problem(tmp_path: Path) -> None:
    def write(mask: np.ndarray, path: Path, count: int) -> None:
        picture = Image.fromarray(mask).convert("P")
        picture.putpalette([0, 0, 0, 200, 0, 0, *[count] * 3])
        picture.save(path)

    report = checked(data_set(tmp_path / "set", mask=write), tmp_path)
    assert report.ok
    assert not [line for line in report.suspicions if "palette" in line]


def test_an_index_0_that_is_not_black_is_suspicious(tmp_path: Path) -> None:
    report = checked(data_set(tmp_path / "set", mask=paletted([255, 255, 255, 0, 0, 0])), tmp_path)
    assert report.ok
    (said,) = [line for line in report.suspicions if "palette" in line]
    assert said.startswith(
        "train/masks/train0.png, train/masks/train1.png, train/masks/train2.png and 2 more:"
    )
    assert "index 0 is [255, 255, 255] in the palette, not black: is it background?" in said


@pytest.mark.parametrize(("nodata", "dtype"), [(-9999, np.float32), (np.nan, np.float32), (-9999, np.int16)])
def test_nodata_is_ignored_and_sets_no_scale(nodata: float, dtype: type, tmp_path: Path) -> None:
    def write(pixels: np.ndarray, path: Path, _: int) -> None:
        values = pixels.astype(dtype)
        values[:5] = nodata
        values[5, :, 1] = nodata  # in one band alone
        tags = [(42113, "s", 0, str(nodata), True)]
        tifffile.imwrite(path, values, photometric="rgb", extratags=tags)

    spec = data_set(tmp_path / "set", image=write, names=("{}.tif", "{}.png"))
    report = checked(spec, tmp_path)
    assert report.ok
    assert report.splits[0].ignored == pytest.approx(6 / 32)
    assert any("nodata value" in note for note in report.notes)
    store = Store.open(next(path for path in (tmp_path / "cache/data").iterdir() if path.is_dir()))
    assert store is not None
    assert all(59 <= low < high <= 140 for low, high in store.meta.ranges)
    batch = next(load_data(spec, tmp_path / "cache").train.evaluation_batches(1, "cpu"))
    assert (batch.masks[0, :6] == 255).all()
    np.testing.assert_array_equal(batch.masks[0, 6:].numpy(), truth(0)[6:])
    assert len(np.unique(batch.images[0, 0, 6:].numpy())) > 60


@pytest.mark.parametrize("hole", [-9999.0, 1e20])
def test_a_filling_that_no_file_declares_is_suspicious(hole: float, tmp_path: Path) -> None:
    """It sets the scale of what the image shows, as nothing says that it is no data."""

    def write(pixels: np.ndarray, path: Path, count: int) -> None:
        values = pixels.astype(np.float32) / 100
        values[:5, :, 1] = hole if count == 1 else values[:5, :, 1]
        tifffile.imwrite(path, values, photometric="rgb")

    report = checked(data_set(tmp_path / "set", image=write, names=("{}.tif", "{}.png")), tmp_path)
    (said,) = [line for line in report.suspicions if "nodata" in line]
    assert said.startswith(
        f"band 1: 5.2% of the training values are {hole:g}, far from all others (0.6 to 1.39)"
    )


@settings(max_examples=50)
@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(["normal", "uniform", "dark", "saturated", "binary", "constant", "outlier"]),
)
def test_what_images_show_is_no_filling(seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    values = {
        "normal": generator.normal(3, 2, 5000),
        "uniform": generator.random(5000),
        "dark": generator.exponential(1.0, 5000) * (generator.random(5000) > 0.3),
        "saturated": np.minimum(generator.normal(3, 2, 5000), 4.0),
        "binary": generator.integers(0, 2, 5000) * 1000.0,
        "constant": np.full(5000, 7.0),
        "outlier": np.append(generator.normal(3, 2, 4999), 1e9),
    }[kind]
    assert list(fillings(values.astype(np.float32)[:, None])) == []


def test_masks_of_which_some_are_0_and_255_are_suspicious(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", mask=lambda m, p, c: save(m * (255 if c in (1, 4) else 1), p, c))
    report = checked(spec, tmp_path)
    assert report.ok
    said = [line for line in report.suspicions if "the ignored value, and nothing else" in line]
    assert [line.split(";")[0] for line in said] == [
        "train: 1 mask holds background and the ignored value, and nothing else: train/masks/train1.png",
        "val: 1 mask holds background and the ignored value, and nothing else: val/masks/val1.png",
    ]
    assert all("the index that other masks have" in line for line in said)
    assert said[0] in checked(spec, tmp_path).suspicions  # from the cache


def test_ignored_borders_and_nodata_are_not_suspicious(tmp_path: Path) -> None:
    def bordered(mask: np.ndarray, path: Path, count: int) -> None:
        mask[0] = 255
        save(mask, path, count)

    def holed(pixels: np.ndarray, path: Path, count: int) -> None:
        save(
            np.dstack([pixels, np.where(np.arange(32) < 4, 0, 255)[:, None] + np.zeros((32, 32))]).astype(
                np.uint8
            ),
            path,
            count,
        )

    for name, spec in (
        ("masks", data_set(tmp_path / "masks", mask=bordered)),
        ("images", data_set(tmp_path / "images", image=holed, mask=lambda m, p, c: save(m * (c != 1), p, c))),
    ):
        said = check_data(spec, tmp_path / name / "cache").suspicions
        assert not [line for line in said if "ignored value" in line]


def test_masks_that_are_wholly_ignored_are_told_once(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", mask=lambda m, p, c: save(m * 0 + 255 if c == 1 else m, p, c))
    (said,) = [line for line in checked(spec, tmp_path).suspicions if "ignored" in line]
    assert said == "train: 1 masks are wholly ignored: train/images/train1.png"


def test_a_class_that_a_split_lacks_beside_ignored_pixels_says_so(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", mask=lambda m, p, c: save(m * (255 if "val" in str(p) else 1), p, c))
    lines = checked(spec, tmp_path).suspicions
    assert any(
        "val: class vehicle has no pixel" in line and "of the pixels are ignored" in line for line in lines
    )


@pytest.mark.parametrize(("odd", "others"), [("L", "RGB"), ("RGB", "L")])
@pytest.mark.parametrize("which", [0, 2])
def test_the_rarer_kind_is_the_odd_one_wherever_it_stands(
    odd: str, others: str, which: int, tmp_path: Path
) -> None:
    def write(pixels: np.ndarray, path: Path, count: int) -> None:
        Image.fromarray(pixels).convert(odd if count == which else others).save(path)

    (problem,) = checked(data_set(tmp_path / "set", image=write), tmp_path).problems
    assert problem.file == f"train/images/train{which}.png"
    bands = {"L": "1 band of uint8", "RGB": "3 bands of uint8"}
    assert problem.found == bands[odd]
    first = "train/images/train1.png" if which == 0 else "train/images/train0.png"
    assert problem.allowed == f"{bands[others]} as in {first} and 3 more"


def test_a_mask_that_is_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", names=("{}.jpg", "{}.gif"))
    with pytest.raises(UserError, match="image has no mask") as caught:
        check_quick(spec)
    assert len(caught.value.problems) == 5
    said = str(caught.value.problems[0])
    assert "train0.jpg" in said
    assert "found train0.gif, which is left out: .gif is not one of .png, .jpg" in said


def test_a_common_suffix_is_found_and_told_once(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", names=("{}.png", "{}_mask.PNG"))
    with pytest.raises(UserError) as caught:
        check_quick(spec)
    assert [problem.found for problem in caught.value.problems] == [
        "train0_mask.PNG for train0.png and 2 more",
        "val0_mask.PNG for val0.png and 1 more",
    ]
    assert "end in '_mask'" in str(caught.value)


def test_a_suffix_on_files_that_are_left_out_is_found_as_well(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'_mask'.*\.gif is not one of"):
        check_quick(data_set(tmp_path / "set", names=("{}.jpg", "{}_mask.gif")))


def test_upper_case_suffixes_are_read_and_strangers_left_out(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", names=("{}.JPG", "{}.PNG"))
    for name in (".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "._train0.png"):
        for kind in ("images", "masks"):
            (tmp_path / "set/train" / kind / name).write_bytes(b"x")
    report = checked(spec, tmp_path)
    assert report.ok
    assert report.splits[0].images == 3
    assert [note for note in report.notes if "left out" in note] == []


def test_two_files_of_one_stem_are_both_named(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "set/train/images/train0.jpg")
    with pytest.raises(
        UserError, match=r"train0.png: another file or folder has the same stem; found train0.jpg"
    ):
        check_quick(spec)


def test_the_hint_for_a_class_that_is_the_ignored_value_can_be_followed(tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", mask=lambda m, p, c: save(m * 254, p, c))
    spec = spec.model_copy(update={"ignore_index": 254})
    with pytest.raises(UserError, match=r"`colors: \{vehicle: 254\}`"):
        load_data(spec, tmp_path / "cache")
    told = spec.model_copy(update={"colors": {"vehicle": 254}})
    assert load_data(told, tmp_path / "cache").prior.frequencies[1] == pytest.approx(64 / 1024)


@pytest.mark.parametrize(("classes", "said"), [(("background", "car"), True), (("water", "land"), False)])
def test_masks_that_seem_inverted_are_suspicious(
    classes: tuple[str, str], said: bool, tmp_path: Path
) -> None:
    spec = data_set(tmp_path / "set", mask=lambda m, p, _: Image.fromarray(m == 0).save(p))
    lines = checked(spec.model_copy(update={"classes": classes}), tmp_path).suspicions
    assert any("6.250% of the pixels" in line and "inverted?" in line for line in lines) == said


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_a_file_of_another_kind_than_its_name_says_is_named(kind: str, tmp_path: Path) -> None:
    spec = data_set(tmp_path / "set", image=lambda a, p, _: Image.fromarray(a).save(p, format=kind))
    with pytest.raises(UserError, match=f"neither PNG, JPEG nor TIFF; found {kind}"):
        check_quick(spec)


def test_what_is_whole_but_not_read_is_not_called_damaged(tmp_path: Path) -> None:
    def pages(mask: np.ndarray, path: Path, _: int) -> None:
        tifffile.imwrite(path, np.stack([mask, mask]), photometric="minisblack")

    with pytest.raises(UserError, match="file holds 2 pages") as caught:
        check_quick(data_set(tmp_path / "set", mask=pages, names=("{}.png", "{}.tif")))
    assert "damaged" not in str(caught.value)


def test_fractions_are_shown_as_a_person_wrote_them(tmp_path: Path) -> None:
    def likely(mask: np.ndarray, path: Path, _: int) -> None:
        tifffile.imwrite(path, mask * np.float32(0.98))

    with pytest.raises(UserError, match=r"no whole numbers; found 0\.98 in 64 pixels"):
        load_data(data_set(tmp_path / "set", mask=likely, names=("{}.png", "{}.tif")), tmp_path / "cache")
