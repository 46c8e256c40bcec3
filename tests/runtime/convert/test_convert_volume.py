"""Volumes of grains for DREAM3D-NX and ParaView, read back as those programs read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from disk import full_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.convert.convert_volume import VolumeFormat, convert_volume
from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.volumes import grain_volume
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.measure import measure_grains
from microrun.runtime.volumes.volume import Volume

Arrays = dict[str, NDArray[Any]]
CELLS, FEATURES = "ImageGeom/Cell Data/", "ImageGeom/Cell Feature Data/"
FORMATS: tuple[VolumeFormat, ...] = ("dream3d", "vti")


def random_labels(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(-1, 6, shape, np.int32)


def text_of(item: Any, name: str) -> str:
    """An attribute with text of fixed length; simplnx refuses any other."""
    kind = item.attrs.get_id(name).get_type()
    assert not kind.is_variable_str()
    value = item.attrs[name]
    assert isinstance(value, np.bytes_)
    return value.decode()


def number_of(item: Any, name: str, dtype: type) -> int:
    value = item.attrs[name]
    assert value.dtype == dtype
    assert value.shape == ()
    return int(value)


def vector_of(item: Any, name: str, dtype: type) -> tuple[float, ...]:
    value = item.attrs[name]
    assert value.dtype == dtype
    assert value.ndim == 1
    return tuple(value.tolist())


def read_dream3d(path: Path) -> tuple[Arrays, Arrays]:
    """Follow simplnx's DataStructureReader: what it demands, and in which order; returns the geometry's attributes."""
    arrays: Arrays = {}
    with h5py.File(path) as file:
        assert text_of(file, "FileVersion") == "8.0"
        pipeline = file["Pipeline"]
        assert number_of(pipeline, "Pipeline Version", np.int32) == 3
        assert text_of(pipeline, "Current Pipeline")
        content = json.loads(pipeline["Pipeline"][()])
        assert isinstance(content["name"], str)
        assert content["pipeline"] == []
        root = file["DataStructure"]
        numbers: list[int] = []
        read_objects(root, (), numbers, arrays)
        assert len(set(numbers)) == len(numbers)
        assert number_of(root, "NextObjectId", np.uint64) > max(numbers)
        geometry = root["ImageGeom"]
        cells = number_of(geometry["Cell Data"], "ObjectId", np.uint64)
        assert number_of(geometry, "Cell Data ID", np.uint64) == cells
        return dict(geometry.attrs), arrays


def read_objects(group: h5py.Group, tuples: tuple[float, ...], numbers: list[int], arrays: Arrays) -> None:
    for name, item in group.items():
        assert number_of(item, "Importable", np.int32) == 1
        numbers.append(number_of(item, "ObjectId", np.uint64))
        kind = text_of(item, "ObjectType")
        if kind == "ImageGeom":
            sides = vector_of(item, "_DIMENSIONS", np.uint64)
            assert len(sides) == len(vector_of(item, "_SPACING", np.float32)) == 3
            assert len(vector_of(item, "_ORIGIN", np.float32)) == 3
            assert number_of(item, "Units", np.uint32) == 6
            assert vector_of(item["Cell Data"], "TupleDims", np.uint64) == sides[::-1]
            read_objects(item, (), numbers, arrays)
        elif kind == "AttributeMatrix":
            read_objects(item, vector_of(item, "TupleDims", np.uint64), numbers, arrays)
        else:
            assert kind == f"DataArray<{item.dtype.name}>", name
            assert vector_of(item, "TupleDimensions", np.uint64) == tuples
            assert item.shape == tuples + vector_of(item, "ComponentDimensions", np.uint64)
            assert item.dtype.byteorder in "=<"
            arrays[item.name.removeprefix("/DataStructure/")] = item[()]


def read_vti(path: Path) -> tuple[dict[str, str], Arrays]:
    """Follow VTK's XML reader for appended raw data; returns the image's attributes."""
    head, data = re.split(rb'<AppendedData encoding="raw">\s*_', path.read_bytes(), maxsplit=1)
    root = ElementTree.fromstring(head + b"</VTKFile>")
    assert root.attrib == {
        "type": "ImageData", "version": "1.0", "byte_order": "LittleEndian", "header_type": "UInt64",
    }  # fmt: skip
    image, end = root[0], 0
    assert image.tag == "ImageData"
    assert image[0].attrib == {"Extent": image.attrib["WholeExtent"]}
    sides = [int(side) for side in image.attrib["WholeExtent"].split()[1::2]]
    arrays: Arrays = {}
    for item in image[0][0]:
        first = int(item.attrib["offset"])
        assert first == end
        size = int.from_bytes(data[first : first + 8], "little")
        end = first + 8 + size
        dtype = {"Int32": "<i4", "Float32": "<f4"}[item.attrib["type"]]
        arrays[item.attrib["Name"]] = np.frombuffer(data[first + 8 : end], dtype).reshape(sides[::-1])
    assert data[end:] == b"\n</AppendedData>\n</VTKFile>\n"
    assert image[0][0].attrib["Scalars"] in arrays
    return dict(image.attrib), arrays


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 2**31), st.floats(0.01, 100))
def test_dream3d_nx_finds_grains_and_their_features(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int, int], seed: int, voxel_um: float
) -> None:
    labels = random_labels(shape, seed)
    labels[0, 0, 0] = 7  # so that there is a grain, and a number without one
    path = tmp_path_factory.mktemp("out") / "grains.dream3d"
    origin_um = (1.0, 20.0, 300.0)
    convert_volume(GrainVolume(Volume(labels, "labels"), None, voxel_um, origin_um), "dream3d", path)
    geometry, arrays = read_dream3d(path)
    assert_array_equal(geometry["_DIMENSIONS"], shape[::-1])
    assert_allclose(geometry["_SPACING"], voxel_um, rtol=1e-6)
    assert_allclose(geometry["_ORIGIN"], origin_um[::-1])
    assert_array_equal(arrays[CELLS + "FeatureIds"][..., 0], labels + 1)
    measured = measure_grains(labels, voxel_um)
    rows = measured.grain_id + 1
    empty = np.setdiff1d(np.arange(9), rows)
    for name, expected in (
        ("NumElements", np.bincount(labels[labels >= 0])[measured.grain_id]),
        ("Volumes", measured.volume_um3),
        ("EquivalentDiameters", measured.diameter_um),
    ):
        column = arrays[FEATURES + name]
        assert column.shape == (9, 1)
        assert_allclose(column[rows, 0], expected, rtol=1e-5)
        assert_array_equal(column[empty], 0)
    centroids = arrays[FEATURES + "Centroids"]
    assert_allclose(centroids[rows], (measured.centroid_um + origin_um)[:, ::-1], rtol=1e-5)
    assert_array_equal(centroids[empty], 0)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 2**31))
def test_paraview_finds_grains_and_values(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int, int], seed: int
) -> None:
    labels, values = random_labels(shape, seed), np.random.default_rng(seed).normal(size=shape)
    values[0, 0, 0] = np.nan
    path = tmp_path_factory.mktemp("out") / "grains.vti"
    convert_volume(GrainVolume(Volume(labels, "l"), Volume(values, "v"), 0.25, (1, 2.5, 3)), "vti", path)
    image, arrays = read_vti(path)
    assert image["Origin"] == "3.0 2.5 1.0"
    assert image["Spacing"] == "0.25 0.25 0.25"
    assert_array_equal(arrays["GrainId"], labels)
    assert_array_equal(arrays["Value"], values.astype(np.float32))


def test_vtk_itself_reads_the_file(tmp_path: Path) -> None:
    vtk = pytest.importorskip("vtk", reason="VTK is not installed")
    labels, values = random_labels((3, 4, 5)), np.random.default_rng(0).random((3, 4, 5), np.float32)
    convert_volume(GrainVolume(Volume(labels, "l"), Volume(values, "v"), 0.5), "vti", tmp_path / "grains.vti")
    reader = vtk.vtkXMLImageDataReader()
    reader.SetFileName(str(tmp_path / "grains.vti"))
    reader.Update()
    image = reader.GetOutput()
    assert image.GetDimensions() == (6, 5, 4)
    assert image.GetSpacing() == (0.5, 0.5, 0.5)
    for name, expected in (("GrainId", labels), ("Value", values)):
        array = image.GetCellData().GetArray(name)
        assert_array_equal([array.GetValue(n) for n in range(60)], expected.ravel())


@pytest.mark.parametrize("to", FORMATS)
def test_slabs_make_the_same_file(tmp_path: Path, to: VolumeFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, values = random_labels((9, 4, 5)), np.random.default_rng(0).random((9, 4, 5), np.float32)
    labels[7, 2, 3] = 40  # a grain of the last slabs only
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file["grain_id"], file["value"] = labels, values
    whole, slabs = tmp_path / f"whole.{to}", tmp_path / f"slabs.{to}"
    convert_volume(GrainVolume(Volume(labels, "l"), Volume(values, "v")), to, whole)
    monkeypatch.setattr(grain_volume, "SLAB_BYTES", 2 * 4 * 5 * 8)
    with h5py.File(tmp_path / "volume.h5") as file:
        volume = GrainVolume(Volume(file["grain_id"], "l"), Volume(file["value"], "v"))
        assert [(planes.start, planes.stop) for planes in volume.slabs()] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]
        convert_volume(volume, to, slabs)
    if to == "vti":
        assert slabs.read_bytes() == whole.read_bytes()
        return
    expected, found = read_dream3d(whole)[1], read_dream3d(slabs)[1]
    assert list(found) == list(expected)
    assert CELLS + "Value" in found
    for name, array in expected.items():
        assert_array_equal(found[name], array)


def test_a_volume_without_any_grain_has_feature_0_only(tmp_path: Path) -> None:
    convert_volume(GrainVolume(Volume(np.full((2, 3, 4), -1), "l")), "dream3d", tmp_path / "none.dream3d")
    _, arrays = read_dream3d(tmp_path / "none.dream3d")
    assert_array_equal(arrays[CELLS + "FeatureIds"], 0)
    assert_array_equal(arrays[FEATURES + "Centroids"], np.zeros((1, 3)))


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.full((2, 2, 2), 0.5), r"labels.npy: labels are whole numbers; run microrun segment"),
        (
            np.full((2, 2, 2), 10**7 + 1),
            r"labels.npy: grain 10000001 has a number above 10,000,000; number the grains anew",
        ),
        (np.full((2, 2, 2), 2**31 - 1), r"grain 2147483647 has a number above"),
    ],
)
def test_what_are_no_labels_is_said_and_nothing_is_left(
    tmp_path: Path, to: VolumeFormat, labels: NDArray[Any], said: str
) -> None:
    with pytest.raises(VolumeError, match=said):
        convert_volume(GrainVolume(Volume(labels, "labels.npy")), to, tmp_path / f"grains.{to}")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    labels = Volume(random_labels((2, 3, 4)), "labels.npy")
    with pytest.raises(VolumeError, match=r"values.npy: values must have the shape \(2, 3, 4\).*got \(2, 3, 5\)"):
        GrainVolume(labels, Volume(np.zeros((2, 3, 5)), "values.npy"))
    for voxel_um in (0, -1, np.nan, np.inf):
        with pytest.raises(VolumeError, match=r"the edge of a voxel is more than 0 µm"):
            GrainVolume(labels, voxel_um=voxel_um)
    with pytest.raises(OutputError, match=r"grains.vtk: vti files end in .vti"):
        convert_volume(GrainVolume(labels), "vti", tmp_path / "grains.vtk")


@pytest.mark.parametrize("to", FORMATS)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, to: VolumeFormat) -> None:
    path = tmp_path / f"grains.{to}"
    path.write_bytes(b"old")
    with full_disk(), pytest.raises(OutputError, match=rf"grains.{to}: cannot be written \(File too large"):
        convert_volume(GrainVolume(Volume(random_labels((8, 8, 8)), "l")), to, path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
