"""PNG maps: grains of one colour; photographs, noise and greys are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from map_files import blocks
from numpy.typing import NDArray
from PIL import Image

from microrun.runtime.errors import SectionsError
from microrun.runtime.sections.orientations import TABLE_1, ipf_colours
from microrun.runtime.sections.picture_maps import read_picture


def write_png(path: Path, pixels: NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def paint(grain: NDArray[np.int32]) -> NDArray[np.uint8]:
    pixels = np.round(255 * ipf_colours(TABLE_1)[grain % 20]).astype(np.uint8)
    return np.where((grain >= 0)[..., None], pixels, 0).astype(np.uint8)


def test_grains_are_regions_of_one_colour(tmp_path: Path) -> None:
    grain = blocks(20, 30, 5)
    grain[7:9, 3:6] = -1
    pixels = paint(grain).astype(int) + np.random.default_rng(0).integers(-4, 5, (20, 30, 3))
    pixels[grain < 0] = 0
    found = read_picture(write_png(tmp_path / "a.png", pixels.clip(0, 255).astype(np.uint8)), 1.5)
    np.testing.assert_array_equal(found.grain < 0, grain < 0)
    for number in np.unique(grain[grain >= 0]):
        assert len(np.unique(found.grain[grain == number])) == 1
    assert found.step_um == (1.5, 1.5)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_kinds_of_png(tmp_path: Path, mode: str) -> None:
    grain = blocks(20, 20, 5)
    image = Image.fromarray(paint(grain))
    (image.quantize(32) if mode == "P" else image.convert(mode)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 2.0).grain.max() + 1 >= 12


def test_pictures_that_are_no_maps(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    grey = np.repeat(generator.integers(20, 240, (40, 40, 1)), 3, axis=2).astype(np.uint8)
    noise = generator.integers(0, 256, (40, 40, 3)).astype(np.uint8)
    for pixels, message in (
        (grey, "black, white or grey"),
        (np.zeros((40, 40, 3), np.uint8), "black, white or grey"),
        (noise, "is not a map: regions of one colour have"),
    ):
        with pytest.raises(SectionsError, match=message):
            read_picture(write_png(tmp_path / "a.png", pixels), 2.0)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(SectionsError, match="no such file"):
        read_picture(path, 2.0)
    path.write_text("no picture")
    with pytest.raises(SectionsError, match="is not a PNG"):
        read_picture(path, 2.0)
    write_png(path, paint(blocks(40, 40, 5)))
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(SectionsError, match="is not a PNG"):
        read_picture(path, 2.0)
    with pytest.raises(SectionsError, match="column step_um"):
        read_picture(path, None)
