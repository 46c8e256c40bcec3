"""`microrun maps`."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from command_line import Microrun, check_refused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["scan.overview.png"]),
        (["--features", "0, 7"], ["scan.features.png"]),
        (["--montage", "--pca"], ["scan.montage.png", "scan.pca.png"]),
    ],
)
def test_maps_are_drawn(microrun: Microrun, latents: Path, options: list[str], expected: list[str]) -> None:
    ran = microrun("maps", latents, *options)
    assert (ran.code, ran.err) == (0, "")
    assert names(latents.parent) == expected
    for name in expected:
        assert f"wrote {latents.parent / name}" in ran.said
        assert (latents.parent / name).read_bytes().startswith(b"\x89PNG")


def test_maps_go_into_a_folder(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    assert microrun("maps", latents, "--pca", "--folder", tmp_path / "maps").code == 0
    assert names(tmp_path / "maps") == ["scan.pca.png"]


def test_maps_are_written_in_the_format_asked_for(microrun: Microrun, latents: Path) -> None:
    ran = microrun("maps", latents, "--format", "svg", "--dpi", 50)
    assert f"wrote {latents.parent / 'scan.overview.svg'}" in ran.said
    assert (latents.parent / "scan.overview.svg").read_text("utf-8").startswith("<?xml")
    check_refused(microrun("maps", latents, "--format", "gif"), "--format must be png, svg, pdf, jpg; got 'gif'")


def test_features_are_drawn_in_the_colours_asked_for(microrun: Microrun, latents: Path) -> None:
    assert microrun("maps", latents, "--montage", "--cmap", "gray").code == 0
    image = matplotlib.image.imread(latents.parent / "scan.montage.png")[..., :3]
    assert np.ptp(image, axis=-1).max() < 0.01
    ran = microrun("maps", latents, "--cmap", "rdbu", "--overwrite")
    check_refused(ran, "--cmap must be the name of a colour map of matplotlib; got 'rdbu'; did you mean RdBu")


@pytest.mark.parametrize(("command", "picture"), [("analyse", "analysis"), ("physics", "physics")])
def test_colours_are_those_asked_for_in_all_commands(
    microrun: Microrun, latents: Path, command: str, picture: str
) -> None:
    source = latents if command == "analyse" else latents.parent / "scan.up2"
    options = ["--no-index", "--latents", latents] if command == "physics" else ["--threshold", 1, "--clusters", 2]
    pictures = []
    for colours in ("gray", "viridis"):
        assert microrun(command, source, *options, "--cmap", colours, "--overwrite").code == 0
        pictures.append(matplotlib.image.imread(latents.parent / f"scan.{picture}.png")[..., :3])
    assert np.abs(pictures[0] - pictures[1]).max() > 0.3
    check_refused(microrun(command, source, *options, "--cmap", "rdbu"), "--cmap must be the name of a colour map")


def test_colours_for_components_that_have_their_own_are_refused(microrun: Microrun, latents: Path) -> None:
    check_refused(microrun("maps", latents, "--pca", "--cmap", "gray"), "--pca draws colours itself: leave out --cmap")
    assert names(latents.parent) == []


@pytest.mark.parametrize("features", ["8", "-1", "0,99", "a", "1,,2", "1.5"])
def test_features_that_do_not_exist(microrun: Microrun, latents: Path, features: str) -> None:
    check_refused(microrun("maps", latents, f"--features={features}"), "features are")
    assert names(latents.parent) == []


def test_maps_of_nothing(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    check_refused(microrun("maps", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("maps", tmp_path), tmp_path)
    check_refused(microrun("maps", scan), scan)
