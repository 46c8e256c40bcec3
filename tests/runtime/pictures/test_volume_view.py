"""Pictures of volumes: which colour is where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.pictures.drawing import LARGEST_SIDE, Drawing, read_drawing
from microrun.runtime.pictures.isometric import LEFT, RIGHT, TOP, frame_of, project
from microrun.runtime.pictures.painting import (
    BRIGHTNESS,
    LINE,
    NOISE,
    colour_grains,
    make_palette,
    shade_values,
    smooth,
)
from microrun.runtime.pictures.volume_view import (
    LABEL_ROOM,
    MARGIN,
    ROW_PIXELS,
    TITLE,
    VIEW_PIXELS,
    draw_slice,
    draw_view,
    draw_volume,
    render,
)
from microrun.runtime.volumes.volume import Volume

SCALE = 10


def drawing_of(values: NDArray[Any]) -> Drawing:
    return read_drawing(Volume(values, "some.npy"))


def colour_at(image: NDArray[Any], shape: tuple[int, int, int], point: tuple[float, float, float]) -> NDArray[Any]:
    """The pixel of a view in which a point of the volume appears."""
    left, _, _, top = frame_of(shape)
    across, up = project(point)
    pixel: NDArray[Any] = image[int((top - up) * SCALE), int((across - left) * SCALE)]
    return pixel


def colour_of(grain: int) -> NDArray[np.float32]:
    return colour_grains(np.array(grain, np.int32))


@pytest.fixture
def nested() -> NDArray[np.int32]:
    """A grain inside another one."""
    labels = np.zeros((12, 12, 12), np.int32)
    labels[4:8, 4:8, 4:8] = 1
    return labels


def test_the_faces_of_a_cube_have_the_colour_of_the_grain_in_three_shades(nested: NDArray[np.int32]) -> None:
    view = draw_view(drawing_of(nested), SCALE)
    for point, face in (((12, 2, 2), TOP), ((2, 12, 2), RIGHT), ((2, 2, 12), LEFT)):
        assert_allclose(colour_at(view, nested.shape, point), colour_of(0) * BRIGHTNESS[face], atol=1e-3)


def test_the_octant_that_is_cut_out_shows_the_inner_grain(nested: NDArray[np.int32]) -> None:
    view = draw_view(drawing_of(nested), SCALE)
    for point, face in (((6, 7, 7), TOP), ((7, 6, 7), RIGHT), ((7, 7, 6), LEFT)):
        assert_allclose(colour_at(view, nested.shape, point), colour_of(1) * BRIGHTNESS[face], atol=1e-3)
    for point, face in (((6, 10, 10), TOP), ((10, 6, 10), RIGHT), ((10, 10, 6), LEFT)):
        assert_allclose(colour_at(view, nested.shape, point), colour_of(0) * BRIGHTNESS[face], atol=1e-3)


def test_borders_of_grains_and_edges_are_dark(nested: NDArray[np.int32]) -> None:
    view = draw_view(drawing_of(nested), SCALE)
    for point in ((6.0, 8.0, 7.0), (3.0, 12.0, 12.0)):  # between grains, and between faces of one grain
        left, _, _, top = frame_of(nested.shape)
        across, up = project(point)
        row, col = int((top - up) * SCALE), int((across - left) * SCALE)
        nearby = view[row - 2 : row + 3, col - 2 : col + 3].sum(-1)
        assert nearby.min() < 0.75 * nearby.max()


def test_the_background_is_white_around_a_cube_and_through_a_part() -> None:
    labels = np.full((16, 16, 16), -1, np.int32)
    labels[:, :8] = 5
    drawing = drawing_of(labels)
    view = draw_view(drawing, SCALE)
    assert_array_equal(view[0, 0], 1)
    assert_array_equal(colour_at(view, labels.shape, (0, 16, 14)), 1)
    assert_allclose(colour_at(view, labels.shape, (16, 4, 13)), colour_of(5), atol=1e-3)  # nothing is cut out
    assert_allclose(colour_at(view, labels.shape, (13, 4, 16)), colour_of(5) * BRIGHTNESS[LEFT], atol=1e-3)
    assert_array_equal(draw_slice(drawing, 0, 4)[:4], 1)  # the slice has y up
    assert_allclose(draw_slice(drawing, 0, 4)[-3, 10], colour_of(5), atol=1e-3)


def test_a_slope_of_a_part_is_not_striped_by_its_steps() -> None:
    z, _, x = np.ogrid[:24, :24, :24]
    labels = np.where(z + x + np.zeros((24, 24, 24)) < 24, 0, -1)
    view = draw_view(drawing_of(labels), SCALE)
    shades = [colour_at(view, labels.shape, (12 + up, 12, 12 - up)).sum() for up in np.linspace(-4, 4, 161)]
    steps, shade = np.array(shades) / colour_of(0).sum(), (BRIGHTNESS[TOP] + BRIGHTNESS[LEFT]) / 2
    assert np.abs(steps - shade).max() < 0.25 * (BRIGHTNESS[TOP] - BRIGHTNESS[LEFT])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**31))
def test_shades_are_averaged_over_what_is_seen(rows: int, cols: int, radius: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    brightness, seen = generator.random((rows, cols), np.float32), generator.random((rows, cols)) < 0.7
    expected = np.ones((rows, cols))
    for row, col in zip(*np.nonzero(seen), strict=True):
        square = tuple(slice(max(0, at - radius), at + radius + 1) for at in (row, col))
        expected[row, col] = brightness[square][seen[square]].mean()
    assert_allclose(smooth(brightness, seen, radius), expected, rtol=1e-5)


def test_noise_between_grains_is_grey_and_not_air() -> None:
    labels = np.zeros((10, 10, 10), np.int32)
    labels[9, 1:4, 1:4] = -1
    view = draw_view(drawing_of(labels), SCALE)
    assert_allclose(colour_at(view, labels.shape, (10, 2.5, 2.5)), NOISE, atol=1e-3)


def test_slices_are_those_in_the_middle() -> None:
    labels = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)
    drawing = drawing_of(labels)
    for axis, plane in enumerate((labels[2], labels[:, 3], labels[:, :, 3])):
        image = draw_slice(drawing, axis, 8)
        assert image.shape == (8 * plane.shape[0], 8 * plane.shape[1], 3)
        assert_allclose(image[4::8, 4::8], colour_grains(plane[::-1]), atol=1e-3)


def test_values_are_coloured_from_low_to_high_without_borders() -> None:
    values = np.linspace(-0.9, 0.9, 1000, dtype=np.float32).reshape(10, 10, 10)
    drawing = drawing_of(values)
    assert not drawing.of_grains
    assert_allclose(draw_slice(drawing, 0, 6)[3::6, 3::6], drawing.colour(values[5, ::-1]), atol=1e-3)
    ends = shade_values(np.array([-5, -1, 1, 5, np.nan], np.float32), -1, 1)
    assert_array_equal(ends[0], ends[1])
    assert_array_equal(ends[2], ends[3])
    assert_allclose(ends[4], NOISE)
    assert ends[0].sum() < ends[2].sum()


@pytest.mark.parametrize("cmap", ["tab10", "twilight", "gray"])
def test_every_colour_map_is_used_from_its_first_colour_to_its_last(cmap: str) -> None:
    shares = np.linspace(0, 1, 9, dtype=np.float32)
    assert_allclose(shade_values(shares, 0, 1, cmap), colormaps[cmap](shares)[:, :3], atol=0.02)


def test_a_constant_value_can_be_drawn(tmp_path: Path) -> None:
    render(drawing_of(np.full((4, 4, 4), 0.5)), tmp_path / "flat.png")
    assert (tmp_path / "flat.png").exists()


def test_numbers_that_follow_each_other_have_distinct_colours() -> None:
    colours = colour_grains(np.arange(5000, dtype=np.int32))
    assert ((colours >= 0) & (colours <= 1)).all()
    assert colours.max(-1).min() > 0.4
    for apart in (1, 2, 3, 1024):
        assert np.linalg.norm(colours[apart:] - colours[:-apart], axis=1).min() > 0.05
    assert len(np.unique(make_palette(), axis=0)) == len(make_palette())
    assert min(BRIGHTNESS.values()) > LINE


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32])
def test_whole_numbers_are_grains_of_any_type(dtype: type) -> None:
    drawing = drawing_of(np.arange(8).reshape(2, 2, 2).astype(dtype))
    assert drawing.of_grains
    assert_array_equal(drawing.values.ravel(), np.arange(8))


def test_large_volumes_are_drawn_with_a_stride_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microrun.runtime.pictures.drawing.SLAB_BYTES", 20_000)
    labels = np.arange(2 * LARGEST_SIDE + 1, dtype=np.int32)[:, None, None] * np.ones((1, 4, 5), np.int32)
    drawing = drawing_of(labels)
    assert drawing.stride == 3
    assert_array_equal(drawing.values, labels[::3, ::3, ::3])
    assert drawing.shape == labels.shape


@pytest.mark.parametrize("only_slices", [False, True])
@pytest.mark.parametrize("of_grains", [False, True])
def test_pixels_come_into_the_file_one_for_one(tmp_path: Path, only_slices: bool, of_grains: bool) -> None:
    values = np.random.default_rng(0).random((20, 22, 24)) * 100
    drawing = drawing_of(np.floor(values) if of_grains else values)
    render(drawing, tmp_path / "picture.png", only_slices)
    image = matplotlib.image.imread(tmp_path / "picture.png")[..., :3]
    if only_slices:
        part, left, top = draw_slice(drawing, 0, ROW_PIXELS / (24 + 24 + 22)), MARGIN, TITLE
    else:
        part, left, top = draw_view(drawing, VIEW_PIXELS / (20 + 23)), LABEL_ROOM, LABEL_ROOM
    shown = image[top : top + part.shape[0], left : left + part.shape[1]]
    drawn = (part < 1).any(-1)  # lengths are written beside
    assert drawn.mean() > 0.5
    assert_allclose(shown[drawn], part[drawn], atol=0.005)


@pytest.mark.parametrize("shape", [(24, 24, 24), (3, 40, 10), (60, 4, 6), (1, 8, 9), (1, 1, 1)])
@pytest.mark.parametrize("only_slices", [False, True])
def test_pictures_of_every_shape_are_wide_and_have_white_margins(
    tmp_path: Path, shape: tuple[int, int, int], only_slices: bool
) -> None:
    labels = np.random.default_rng(0).integers(0, 50, shape)
    render(drawing_of(labels), tmp_path / "grains.png", only_slices)
    image = matplotlib.image.imread(tmp_path / "grains.png")[..., :3]
    assert image.shape[1] >= 900
    assert_array_equal(image[[0, -1]], 1)
    assert_array_equal(image[:, [0, -1]], 1)
    assert (image < 1).any(-1).mean() > 0.02


def test_there_is_no_white_space_around_a_part() -> None:
    labels = np.where(np.square(np.indices((40, 40, 40)) - 19.5).sum(axis=0) < 400, 0, -1).astype(np.int32)
    part, cube = (draw_volume(drawing_of(one)) for one in (labels, np.zeros_like(labels)))
    wide, high = part.get_size_inches() / cube.get_size_inches()
    assert high < 0.85 and wide <= 1
    axis = part.axes[0]
    (bottom, top), (left, right) = axis.get_ylim(), axis.get_xlim()
    for line in axis.lines:  # lengths are as long as in the whole cube, and inside
        across, up = np.transpose([line.get_xdata(), line.get_ydata()]).T
        assert np.hypot(np.ptp(across), np.ptp(up)) == pytest.approx(40)
        assert left < across.min() and across.max() < right and bottom < up.min() and up.max() < top


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"some.npy: there is nothing to draw"):
        drawing_of(np.full((2, 2, 2), -1))
    with pytest.raises(VolumeError, match=r"nothing to draw"):
        drawing_of(np.full((2, 2, 2), np.nan))
    with pytest.raises(VolumeError, match=r"more than 0 µm; got -1"):
        read_drawing(Volume(np.zeros((2, 2, 2)), "some.npy"), -1)
    with pytest.raises(OutputError, match=r"grains.gif: a picture is written as .png, .svg"):
        render(drawing_of(np.zeros((2, 2, 2))), tmp_path / "grains.gif")


@pytest.mark.parametrize(("cmap", "middle"), [("RdBu_r", 0.0), ("viridis", 1.0)])
def test_diverging_colours_of_values_have_zero_in_the_middle(cmap: str, middle: float) -> None:
    values = np.linspace(-1, 3, 8**3).reshape(8, 8, 8)
    assert sum(Drawing("a", (8, 8, 8), values, cmap=cmap).limits) / 2 == pytest.approx(middle, abs=1e-9)
