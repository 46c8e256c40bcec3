"""Orientations that others found: EDAX's .ang files, and what orix writes itself."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from write_ang import random_angles, write_ang

from microrun.runtime.errors import ScanError
from microrun.runtime.maps.orientation_file import load_orientations, read_orientations
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning


def write_orix(path: Path, shape: tuple[int, int], missing: Sequence[int] = ()) -> Path:
    """Let orix write a file of its own."""
    from orix.crystal_map import CrystalMap, Phase, PhaseList
    from orix.io import save
    from orix.quaternion import Rotation as OrixRotation

    y, x = (0.5 * values.ravel() for values in np.indices(shape))
    phases = PhaseList(Phase("nickel", space_group=225))
    if missing:
        phases.add_not_indexed()
    found = np.where(np.isin(np.arange(x.size), missing), -1, 0)
    rotations = OrixRotation.from_euler(random_angles(x.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(str(path), CrystalMap(rotations, found, x, y, phase_list=phases))
    return path


WRITERS = {".ang": write_ang, ".h5": write_orix}


def expected_rotations(count: int) -> NDArray[np.float64]:
    """Sample to crystal: Bunge's angles turn the axes, SciPy's the vectors."""
    return Rotation.from_euler("ZXZ", random_angles(count)).inv().as_quat(canonical=True, scalar_first=True)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("missing", [(), (3, 7)])
def test_orientations_are_read(
    tmp_path: Path, suffix: str, missing: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = WRITERS[suffix](tmp_path / f"scan{suffix}", (4, 5), missing)
    capsys.readouterr()
    found = read_orientations(path)
    rotations, valid = found.rotations, found.valid
    assert capsys.readouterr().out == ""
    assert rotations.shape == (4, 5, 4)
    assert_array_equal(np.flatnonzero(~valid), missing)
    signs = np.sign(rotations[..., :1])
    expected = expected_rotations(20).reshape(4, 5, 4)
    assert_allclose((signs * rotations)[valid], expected[valid], atol=1e-6)
    assert_array_equal(rotations[~valid], np.tile([1, 0, 0, 0], (len(missing), 1)))


@pytest.mark.parametrize(
    ("suffix", "shape"), [(".ang", (1, 6)), (".ang", (6, 1)), (".h5", (1, 6)), (".h5", (6, 1)), (".h5", (1, 1))]
)
def test_single_rows_and_columns_are_read(tmp_path: Path, suffix: str, shape: tuple[int, int]) -> None:
    path = WRITERS[suffix](tmp_path / f"scan{suffix}", shape)
    found = load_orientations(path, Scan(shape, (8, 8)))
    assert found.rotations.shape == (*shape, 4)
    assert found.valid.all()


@pytest.mark.parametrize("shape", [(5, 4), (4, 6), (1, 20)])
def test_orientations_of_another_map_are_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write_ang(tmp_path / "scan.ang", (4, 5))
    with pytest.raises(ScanError, match="is a map of 4×5; the scan has") as error:
        load_orientations(path, Scan(shape, (8, 8)))
    assert str(error.value).startswith(f"{path}: ")


def test_hexagonal_maps_are_refused(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "scan.ang", (4, 5), hexagonal=True)
    with pytest.raises(ScanError) as error:
        read_orientations(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["none.ang", "text.ang", "text.h5", "text.txt", "empty.ang", "cut.ang", "folder.ang"])
def test_what_orix_cannot_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("no orientations\n" * 20)
    if name.startswith("empty"):
        path.write_bytes(b"")
    if name.startswith("folder"):
        path.mkdir()
    if name.startswith("cut"):
        whole = write_ang(path, (4, 5)).read_text()
        path.write_text(whole[:-30])
    with pytest.raises(ScanError) as error:
        read_orientations(path)
    assert str(error.value).startswith(f"{path}: ")


def test_what_orix_warns_of_is_said_with_the_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import orix.io

    path, load = write_orix(tmp_path / "scan.h5", (4, 5)), orix.io.load

    def load_and_warn(name: Path) -> object:
        warnings.warn("phase names differ", UserWarning, stacklevel=2)
        warnings.warn("will be renamed", DeprecationWarning, stacklevel=2)
        return load(name)

    monkeypatch.setattr(orix.io, "load", load_and_warn)
    with pytest.warns(ScanWarning) as said:
        assert read_orientations(path).rotations.shape == (4, 5, 4)
    assert [str(one.message) for one in said] == [f"{path}: phase names differ (said by orix)"]


# --- symmetries


def test_the_symmetry_is_that_of_the_file(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "scan.ang", (4, 5))
    path.write_text(path.read_text().replace("Symmetry          43", "Symmetry          62"))
    assert read_orientations(path).symmetries == {1: "62"}
    with pytest.raises(ScanError, match="its phase 1 has symmetry 62, which is not that of fcc"):
        read_orientations(path, "fcc")


def test_a_phase_of_the_same_symmetry_may_be_named(tmp_path: Path) -> None:
    assert read_orientations(write_ang(tmp_path / "scan.ang", (4, 5)), "bcc").symmetries == {1: "43"}
    assert read_orientations(write_orix(tmp_path / "scan.h5", (4, 5)), "fcc").symmetries == {0: "m-3m"}


def test_a_symmetry_that_nobody_states_is_assumed_aloud(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "scan.ang", (4, 5))
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "Symmetry" not in line))
    with pytest.warns(ScanWarning, match="states no symmetry of its crystals; they are taken as fcc: give --phase"):
        assert read_orientations(path).symmetries == {1: "fcc"}
    assert read_orientations(path, "bcc").symmetries == {1: "bcc"}


def test_a_symmetry_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "scan.ang", (4, 5))
    path.write_text(path.read_text().replace("Symmetry          43", "Symmetry          99"))
    with pytest.raises(ScanError, match="phase 1: symmetry '99' is not a point group"):
        read_orientations(path)
