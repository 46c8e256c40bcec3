"""Files of the wrong kind are named for what they are, with what to do with them; `inspect` knows all that we write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents


def hdf5(name: str, **arrays: np.ndarray) -> Callable[[Path], Path]:
    """A file of a format of ours, or of arrays by name."""

    def make(folder: Path) -> Path:
        path = folder / "given.h5"
        with h5py.File(path, "w") as file:
            if name:
                file.attrs["format"] = name
            for array, values in arrays.items():
                file[array] = values
        return path

    return make


def text(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_text("# Notes µ\nnothing but text\n")
        return path

    return make


CUBE = np.zeros((4, 4, 4), np.int32)
KINDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "grains": (hdf5("", grain_id=CUBE), "is a volume of grains, not {}; microrun render shows it"),
    "volumes": (hdf5("microrun volumes 1", one=CUBE), "is a file of simulated volumes, not {}"),
    "physics": (
        hdf5("microrun physics 1", quality=np.zeros((3, 4))),
        "is a file of conventional maps of a scan, not {}; microrun inspect says",
    ),
    "pool": (hdf5("microrun melt pool 1"), "is a melt pool, not {}; microrun simulate solidify takes it"),
    "part": (hdf5("microrun part 1", grain_id=CUBE), "is a solidified part, not {}"),
    "on its way": (hdf5("microrun part on its way 1"), "is a part on its way, not {}; the same microrun simulate"),
    "readme": (text("README.md"), "is a text file, not {}; open it in an editor"),
    "nameless": (text("notes"), "is a text file, not {}"),
    "renamed": (text("notes.h5"), "is a text file, not {}"),
    "table": (text("labels.csv"), "is a table of text, not {}"),
    "plan": (text("vae.plan"), "is a TensorRT plan, not {}"),
    "record": (text("vae.plan.json"), "is the record of a TensorRT plan, not {}; give the .plan beside it"),
    "checkpoint": (text("run.safetensors"), "is a checkpoint of a training, not {}; microrun export makes a model"),
    "truth": (text("scan.truth.npz"), "is the truth of a simulated scan, not {}; give the scan beside it"),
    "picture": (text("scan.overview.png"), "is a picture, not {}"),
}


@pytest.mark.parametrize(("make", "said"), KINDS.values(), ids=KINDS.keys())
def test_the_wrong_file_is_named_for_what_it_is(
    microrun: Microrun, tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    path = make(tmp_path)
    for command in ("maps", "analyse", "decode"):
        check_refused(microrun(command, path), f"{path}: {said.format('a latents file')}")
    for command in ("encode", "physics", "evaluate"):
        check_refused(microrun(command, path), f"{path}: {said.format('a scan')}")
    check_refused(microrun("sections", path), f"{path}: {said.format('a file of sections')}")
    assert list(tmp_path.iterdir()) == [path], "nothing was made"


def test_latents_are_no_scan_and_no_model(microrun: Microrun, scan: Path, latents: Path) -> None:
    said = "is a latents file, not"
    check_refused(microrun("encode", latents), f"{latents}: {said} a scan; microrun maps draws them")
    check_refused(microrun("sections", latents), f"{latents}: {said} a file of sections")
    check_refused(microrun("encode", scan, "--engine", latents, "--overwrite"), f"{latents}: {said} a model")
    check_refused(microrun("maps", scan), f"{scan}: is a scan of patterns, not a latents file; microrun encode")


def test_the_message_is_the_same_in_python(tmp_path: Path) -> None:
    volume = hdf5("", grain_id=CUBE)(tmp_path)
    with pytest.raises(LatentsError, match=r"given\.h5: is a volume of grains, not a latents file"):
        open_latents(volume)


def test_a_file_of_another_program_is_not_made_a_riddle(microrun: Microrun, tmp_path: Path) -> None:
    path = hdf5("", something=np.zeros(3))(tmp_path)
    check_refused(microrun("maps", path), "is not a latents file, but an HDF5 file of another program")
    ran = microrun("encode", path)
    check_refused(ran, path, "is neither a .up1 or .up2 file nor a scan that kikuchipy reads")
    assert "report" not in ran.err


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("physics", "a file of conventional maps of a scan"), ("on its way", "a part on its way"),
        ("readme", "a text file"), ("table", "a table of text"), ("picture", "a picture"),
        ("record", "the record of a TensorRT plan"),
    ],
)  # fmt: skip
def test_what_we_write_is_inspected(microrun: Microrun, tmp_path: Path, kind: str, said: str) -> None:
    ran = microrun("inspect", KINDS[kind][0](tmp_path))
    assert (ran.code, ran.err) == (0, "")
    assert f"kind {said}" in ran.said and "size" in ran.said


def test_conventional_maps_are_inspected_with_what_they_hold(microrun: Microrun, tmp_path: Path) -> None:
    said = microrun("inspect", KINDS["physics"][0](tmp_path)).said
    assert "quality 3×4 float64" in said


def test_the_truth_of_a_scan_is_inspected(microrun: Microrun, simulated_scan: Path) -> None:
    ran = microrun("inspect", simulated_scan.with_suffix(".truth.npz"))
    assert (ran.code, ran.err) == (0, "")
    for part in ("truth of a simulated scan", "grains", "pattern centre 0.4200,0.7900,0.5000", "tilt 70°"):
        assert part in ran.said


def test_a_folder_is_inspected(microrun: Microrun, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.pt").touch()
    assert "kind the folder of a training" in microrun("inspect", tmp_path / "run").said
