"""Latent maps: what is worth seeing comes first, and the pictures are real pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.maps.features import measure_structure, principal_colours, rank_features
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.latent_maps import draw_features, draw_montage, draw_overview, draw_principal_colours
from microrun.runtime.pictures.map_frame import nice_length
from microrun.runtime.scans.lattice import to_square_pixels
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

Float64 = NDArray[np.float64]
SHAPE = (24, 30)
SIZE = 7


def write_latents(path: Path, scan: Scan, values: NDArray[Any], written: int | None = None) -> Path:
    """Write latents (n, D) of the first patterns; pattern 3 is flagged."""
    spec = ModelSpec("tiny", "encoder", values.shape[1], Preprocessing((4, 4), 0))
    origin = Origin(scan, "f" * 64, spec, "e" * 64, "NumPy on cpu", "f32", "none")
    count = scan.total if written is None else written
    indices = np.arange(count)
    batch = EncodedBatch(indices, values[:count].astype(np.float32), np.zeros((count, 2), np.float32), indices == 3)
    with LatentsWriter.create(path, origin, np.zeros((4, 4), np.float32)) as writer:
        if count:
            writer.write(batch)
    return path


def make_features(shape: tuple[int, int] = SHAPE) -> Float64:
    """Features from smooth (last) to noise (first), of very different scale."""
    rng = np.random.default_rng(0)
    row, col = np.indices(shape)
    smooth = np.sin(row / 6) + np.cos(col / 7)
    noise = rng.standard_normal((*shape, SIZE))
    share = np.linspace(0, 1, SIZE)
    mixed: Float64 = (1 - share) * noise + share * smooth[..., None]
    return mixed * 10.0 ** np.array([2, -2, 0, 1, 3, -1, 0])


def square(features: Float64) -> Scan:
    """A square grid for a map of features."""
    rows, cols = features.shape[:2]
    return Scan((rows, cols), (8, 8))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    scan = Scan(SHAPE, (8, 8), step_um=(0.5, 0.5))
    return write_latents(tmp_path / "scan.latents.h5", scan, make_features().reshape(-1, SIZE))


# --- which features


def test_structure_comes_before_noise() -> None:
    found = rank_features(make_features(), square(make_features())).tolist()
    assert found[:5] == [6, 5, 4, 3, 2]
    assert sorted(found) == list(range(SIZE))


def test_missing_points_do_not_change_the_ranking() -> None:
    features = make_features()
    features[::5, ::3] = np.nan
    features[10:] = np.nan
    assert rank_features(features, square(features))[0] == SIZE - 1
    assert sorted(rank_features(features, square(features))) == list(range(SIZE))


def test_a_constant_feature_comes_last() -> None:
    features = make_features()
    features[..., 5] = 3.0
    assert rank_features(features, square(features))[-1] == 5


def test_ranking_ignores_offset_and_scale() -> None:
    features = make_features()
    assert_array_equal(
        rank_features(-1000 * features + 5, square(-1000 * features + 5)), rank_features(features, square(features))
    )


@pytest.mark.parametrize("grid", ["square", "hexagonal"])
def test_structure_is_gearys_c(grid: str) -> None:
    scan = Scan((5, 6), (8, 8), grid=grid, step_um=(1.0, 1.0 if grid == "square" else 0.75**0.5))  # type: ignore[arg-type]
    features = make_features((5, 6))
    features[2, 3] = np.nan
    x, y = scan.positions_um()
    points = [point for point in np.ndindex(5, 6) if point != (2, 3)]
    steps = [
        (features[one] - features[other]) ** 2
        for one in points
        for other in points
        if abs(np.hypot(x[one] - x[other], y[one] - y[other]) - 1) < 1e-6
    ]
    values = [features[point] for point in points]
    expected = np.mean(steps, axis=0) / (2 * np.var(values, axis=0))
    assert_allclose(measure_structure(features, scan), expected, rtol=1e-9)


def test_without_neighbours_there_is_no_structure() -> None:
    assert np.isinf(measure_structure(make_features((1, 1)), Scan((1, 1), (8, 8)))).all()


# --- principal components


def test_colours_are_the_principal_components() -> None:
    features = make_features()
    values = features.reshape(-1, SIZE)
    components = PCA(3, svd_solver="full").fit_transform(values)
    image = principal_colours(features).reshape(-1, 3)
    assert image.min() == 0
    assert image.max() == 1
    for channel in range(3):
        low, high = np.percentile(components[:, channel], (2, 98))
        stretched = np.clip((components[:, channel] - low) / (high - low), 0, 1)
        if np.corrcoef(stretched, image[:, channel])[0, 1] < 0:
            stretched = 1 - stretched
        assert_allclose(image[:, channel], stretched, atol=1e-6)


def test_colours_do_not_depend_on_the_sign_that_a_solver_picks() -> None:
    features = make_features()
    mirrored = principal_colours(features[::-1, ::-1])
    assert_allclose(mirrored[::-1, ::-1], principal_colours(features), atol=1e-9)


def test_missing_points_have_no_colour() -> None:
    features = make_features()
    features[3:5] = np.nan
    image = principal_colours(features)
    assert np.isnan(image[3:5]).all()
    assert np.isfinite(np.delete(image, [3, 4], axis=0)).all()


def test_fewer_features_than_colours() -> None:
    features = make_features()[..., 3:5]
    image = principal_colours(features)
    assert image.shape == (*SHAPE, 3)
    assert (image[..., 2] == 1).all()
    assert np.ptp(image[..., 0]) == 1


# --- pixels and bars


def test_square_grids_keep_their_pixels() -> None:
    image = make_features()[..., 0]
    assert to_square_pixels(image, hexagonal=False) is image


def test_hexagonal_rows_are_shifted_by_half_a_step() -> None:
    found = to_square_pixels(np.array([[1.0, 2], [3, 4], [5, 6]]), hexagonal=True)
    nan = np.nan
    assert_array_equal(found, [[1, 1, 2, 2, nan], [nan, 3, 3, 4, 4], [5, 5, 6, 6, nan]])
    found = to_square_pixels(np.array([[1.0, 2], [3, 4], [5, 6]]), hexagonal=True, first_shifted=True)
    assert_array_equal(found, [[nan, 1, 1, 2, 2], [3, 3, 4, 4, nan], [nan, 5, 5, 6, 6]])
    colours = np.random.default_rng(0).random((3, 2, 3))
    wide = to_square_pixels(colours, hexagonal=True)
    assert wide.shape == (3, 5, 3)
    assert_array_equal(wide[1, 1:], np.repeat(colours[1], 2, axis=0))


@pytest.mark.parametrize(
    ("length", "expected"), [(1, 1), (1.99, 1), (2, 2), (4.99, 2), (5, 5), (9.9, 5), (10, 10), (0.3, 0.2), (730, 500)]
)
def test_bars_have_a_round_length(length: float, expected: float) -> None:
    assert nice_length(length) == pytest.approx(expected)


# --- pictures


def check_png(path: Path) -> NDArray[Any]:
    """Read a PNG chunk by chunk, then as a picture that is not of one colour."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, kinds = 8, []
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        checked = data[place + 4 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(checked)
        place += 12 + length
        kinds.append(kind)
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    picture: NDArray[Any] = imread(path)
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50
    return picture


DRAWINGS: dict[str, Callable[[Latents], Any]] = {
    "features": lambda latents: draw_features(latents, [0, 6]),
    "overview": draw_overview,
    "colours": draw_principal_colours,
    "montage": draw_montage,
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS.keys())
def test_figures_become_pictures(path: Path, tmp_path: Path, draw: Callable[[Latents], Any]) -> None:
    with open_latents(path) as latents:
        save_figure(draw(latents), tmp_path / "map.png")
    check_png(tmp_path / "map.png")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["map.png", path.name]


@pytest.mark.parametrize("alternating", [False, True])
def test_hexagonal_maps_are_drawn(tmp_path: Path, alternating: bool) -> None:
    scan = Scan((8, 9), (8, 8), grid="hexagonal", step_um=(1.0, 0.866), alternating=alternating)
    path = write_latents(tmp_path / "hexagonal.h5", scan, make_features((8, 9)).reshape(-1, SIZE))
    with open_latents(path) as latents:
        figure = draw_features(latents, [6])
        save_figure(figure, tmp_path / "map.png")
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (8, 19)
    check_png(tmp_path / "map.png")


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 40)])
@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS.keys())
def test_maps_of_any_shape_are_drawn(tmp_path: Path, shape: tuple[int, int], draw: Callable[[Latents], Any]) -> None:
    path = write_latents(tmp_path / "odd.h5", Scan(shape, (8, 8)), make_features(shape).reshape(-1, SIZE))
    with open_latents(path) as latents:
        assert draw(latents).axes


def test_a_map_that_is_still_growing_is_drawn(tmp_path: Path) -> None:
    scan = Scan(SHAPE, (8, 8))
    path = write_latents(tmp_path / "part.h5", scan, make_features().reshape(-1, SIZE), written=100)
    with open_latents(path) as latents:
        shown = StoredFeatures(latents)[:]
        save_figure(draw_principal_colours(latents), tmp_path / "map.png")
    flat = np.isnan(shown.reshape(-1, SIZE)).all(axis=1)
    assert np.flatnonzero(~flat).tolist() == [n for n in range(100) if n != 3]
    check_png(tmp_path / "map.png")


def test_pictures_say_what_they_show(path: Path) -> None:
    with open_latents(path) as latents:
        figure = draw_features(latents, [5])
    text = [item.get_text() for axis in figure.axes for item in axis.texts]
    assert text == ["2 µm", "axes in µm"]
    assert figure.axes[0].get_title("left").startswith("feature 5 · rank ")
    assert figure.texts[0].get_text() == f"scan · {latents.origin.spec.name} · D = {SIZE}"
    assert len(figure.axes) == 2  # the map and its colour bar
    assert tuple(figure.axes[0].images[0].get_extent()) == (0, 15, 12, 0)


def test_without_a_step_the_bar_is_in_steps(tmp_path: Path) -> None:
    path = write_latents(tmp_path / "a.h5", Scan(SHAPE, (8, 8)), make_features().reshape(-1, SIZE))
    with open_latents(path) as latents:
        assert draw_features(latents, [0]).axes[0].texts[0].get_text() == "5 steps"


# --- what is refused


@pytest.mark.parametrize("numbers", [[-1], [SIZE], [0, 99], []])
def test_features_that_do_not_exist(path: Path, numbers: list[int]) -> None:
    with open_latents(path) as latents, pytest.raises(LatentsError, match="features are 0 to 6; got") as error:
        draw_features(latents, numbers)
    assert str(path) in str(error.value)


def test_of_many_features_that_do_not_exist_three_are_named(path: Path) -> None:
    with open_latents(path) as latents, pytest.raises(LatentsError, match=r"0 to 6; got 7, 8, 9 and 21 more$"):
        draw_features(latents, range(3, 31))


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS.keys())
def test_nothing_to_draw_yet(tmp_path: Path, draw: Callable[[Latents], Any]) -> None:
    path = write_latents(tmp_path / "new.h5", Scan(SHAPE, (8, 8)), np.zeros((720, SIZE)), written=0)
    with open_latents(path) as latents, pytest.raises(LatentsError, match="holds no latents yet"):
        draw(latents)


def test_only_patterns_without_information(tmp_path: Path) -> None:
    path = write_latents(tmp_path / "flat.h5", Scan((1, 4), (8, 8)), np.zeros((4, SIZE)))
    with open_latents(path) as latents:
        assert np.isnan(StoredFeatures(latents)[:1][0, 3]).all()
        assert not np.isnan(StoredFeatures(latents)[:1][0, :3]).any()


def test_a_picture_that_cannot_be_written(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with open_latents(path) as latents:
        figure = draw_principal_colours(latents)
    for target in (tmp_path / "missing" / "map.png", tmp_path / "file" / "map.png"):
        with pytest.raises(OutputError, match="cannot be written"):
            save_figure(figure, target)


def test_a_picture_that_cannot_be_replaced_leaves_nothing_beside(path: Path, tmp_path: Path) -> None:
    (tmp_path / "map.png").mkdir()
    with open_latents(path) as latents:
        figure = draw_principal_colours(latents)
    with pytest.raises(OutputError, match="cannot be written"):
        save_figure(figure, tmp_path / "map.png")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["map.png", path.name]
