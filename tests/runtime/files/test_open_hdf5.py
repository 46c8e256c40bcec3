"""HDF5 files that lead to others, or claim more than they hold, are not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from latents_runs import write_file

from microrun.runtime.errors import LatentsError, VolumeError
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.volumes.measured import measure_file
from microrun.runtime.volumes.volume import open_volume

SHAPE = (4, 4, 4)
SECRET = np.arange(64, dtype=np.int32).reshape(SHAPE)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = SECRET
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    return path


def link(file: h5py.File, secret: Path) -> None:
    file["grain_id"] = h5py.ExternalLink(secret, "x")


def link_in_a_group(file: h5py.File, secret: Path) -> None:
    file.create_group("a/b")["c"] = h5py.ExternalLink(secret, "/")
    file["grain_id"] = h5py.SoftLink("/a/b/c/x")


def store_elsewhere(file: h5py.File, secret: Path) -> None:
    external = [(secret.with_suffix(".bin"), 0, SECRET.nbytes)]
    file.create_dataset("grain_id", SHAPE, "i4", external=external)


def gather(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "i4")
    layout[:] = h5py.VirtualSource(secret, "x", SHAPE)
    file.create_virtual_dataset("grain_id", layout)


WAYS = pytest.mark.parametrize("way", [link, link_in_a_group, store_elsewhere, gather])


@WAYS
def test_a_volume_does_not_show_what_is_in_other_files(
    tmp_path: Path, secret: Path, way: Callable[[h5py.File, Path], None]
) -> None:
    path = tmp_path / "volume.h5"
    with h5py.File(path, "w") as file:
        way(file, secret)
    with h5py.File(path, "r") as file:
        assert (file["grain_id"][()] == SECRET).all()  # it would
    for read in (open_volume, measure_file):
        with pytest.raises(VolumeError, match="none is followed") as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("way", [store_elsewhere, gather, link])
def test_latents_do_not_either(tmp_path: Path, secret: Path, way: Callable[[h5py.File, Path], None]) -> None:
    path = write_file(tmp_path / "a.latents.h5")
    with h5py.File(path, "r+", libver="latest") as file:
        way(file, secret)
    with pytest.raises(LatentsError, match="none is followed") as error:
        open_latents(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_small_file_that_claims_to_be_huge(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "volume.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("grain_id", (6000, 6000, 6000), "i4", chunks=(1, 600, 600), compression=compression)
    with pytest.raises(VolumeError, match=r"grain_id claims 864,000,000,000 bytes and has 0 on disk"):
        open_volume(path)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "compression_opts": 9}])
def test_what_compresses_best_is_read(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "volume.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("grain_id", data=np.zeros((64, 512, 512), np.int32), chunks=(64, 512, 512), **options)
    with open_hdf5(path) as file:
        assert not file["grain_id"][0].any()


def test_groups_that_hold_themselves_are_no_trap(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group["up"], group["again"], file["soft"] = file["/"], group, h5py.SoftLink("/nowhere")
        file["loop"], file["x"] = h5py.SoftLink("/loop"), 1
    with open_hdf5(path) as file:
        assert file["a/up/a/again/up/x"][()] == 1


def test_an_attribute_of_a_type_that_is_none_is_refused_and_crashes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["process"] = "text"
    whole = path.read_bytes()
    kind = b"\x19\x01\x01\x00\x10\x00\x00\x00"  # a text of any length, UTF-8, 16 bytes
    assert whole.count(kind) == 1
    path.write_bytes(whole.replace(kind, kind[:1] + b"\x03" + kind[2:]))
    with pytest.raises(OSError, match="the type of 'process' of / is damaged"):
        open_hdf5(path)


def test_files_of_other_programs_may_compress_without_bound(tmp_path: Path) -> None:
    path = tmp_path / "vendor.h5"
    with h5py.File(path, "w") as file:
        flat = file.create_dataset(
            "flat", (200, 300, 300), "u2", chunks=(200, 300, 300), scaleoffset=0, compression="gzip"
        )
        flat[:] = 7
    with open_hdf5(path, own=False) as file:
        assert int(file["flat"][3, 4, 5]) == 7
    with pytest.raises(OSError, match="claims"):
        open_hdf5(path)


def test_files_of_other_programs_may_not_claim_more_than_their_compression_makes(tmp_path: Path) -> None:
    path = tmp_path / "vendor.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("much", (10_000, 3000, 3000), "u2", chunks=(1, 10, 10), compression="gzip")[0, 0, 0] = 1
    with pytest.raises(OSError, match=r"/much claims 180,000,000,000 bytes"):
        open_hdf5(path, own=False)
