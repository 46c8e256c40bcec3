"""Latents in OME-TIFF, as tifffile reads it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from convert_truth import SCANS, SIZE, Truth, convert, write_latents
from numpy.testing import assert_array_equal

from microrun.runtime.convert import chosen_features, to_ome_tiff


def pixels_of(path: Path) -> dict[str, str]:
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.ome_metadata is not None
        root = ElementTree.fromstring(file.ome_metadata)
    pixels = root.find(".//{*}Pixels")
    assert pixels is not None
    channels = [channel.attrib["Name"] for channel in pixels.iterfind("{*}Channel")]
    return {**pixels.attrib, "channels": ", ".join(channels)}


@pytest.mark.parametrize("block_bytes", [1, 500])
def test_tifffile_reads_channels(truth: Truth, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen_features, "PIECE_BYTES", block_bytes)
    numbers = [1, 2, 4]
    path = convert(truth, "ome-tiff", numbers)
    image = np.squeeze(tifffile.imread(path))
    assert image.dtype == np.float32
    expected = np.moveaxis(truth.informative(numbers), 2, 0)
    hexagonal = truth.scan.grid == "hexagonal"
    if hexagonal:
        assert image.shape == (3, truth.scan.nav_shape[0], 2 * truth.scan.nav_shape[1] + 1)
        left, right = (1, 0) if truth.scan.first_shifted else (0, 1)
        for half in (0, 1):
            assert_array_equal(image[:, left::2, half:-1:2], expected[:, left::2])
            assert_array_equal(image[:, right::2, 1 + half :: 2], expected[:, right::2])
        assert np.isnan(image[:, left::2, -1]).all()
        assert np.isnan(image[:, right::2, 0]).all()
    else:
        assert_array_equal(image, np.squeeze(expected))
    described = pixels_of(path)
    assert described["channels"] == "latent 1, latent 2, latent 4"
    assert described["SizeC"] == "3"
    if all(truth.scan.step_um):
        assert float(described["PhysicalSizeX"]) == (0.25 if hexagonal else 0.5)
        assert float(described["PhysicalSizeY"]) == 0.25
        assert {described["PhysicalSizeXUnit"], described["PhysicalSizeYUnit"]} == {"µm"}
    else:
        assert not [name for name in described if "PhysicalSize" in name]


def test_large_images_become_bigtiff(square: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_ome_tiff, "CLASSIC_BYTES", 5 * 6 * 7 * 4 - 1)
    path = convert(square, "ome-tiff")
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert_array_equal(file.asarray(), np.moveaxis(square.informative(list(range(SIZE))), 2, 0))
    with tifffile.TiffFile(convert(square, "ome-tiff", [1, 2], square.path.with_name("two.ome.tif"))) as file:
        assert not file.is_bigtiff


def test_the_step_of_one_axis_alone_may_be_known(tmp_path: Path) -> None:
    truth = write_latents(tmp_path / "line.h5", dataclasses.replace(SCANS["one row"], step_um=(0.5, 0.0)))
    described = pixels_of(convert(truth, "ome-tiff"))
    assert float(described["PhysicalSizeX"]) == 0.5
    assert "PhysicalSizeY" not in described
