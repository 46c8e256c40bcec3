"""Uniform orientations are those of Mackenzie, and fibres lie where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from one_line import one_line

from microrun.runtime.errors import TextureError
from microrun.runtime.sections.grain_map import to_quaternions
from microrun.runtime.textures.crystal import settle_crystal
from microrun.runtime.textures.matching import measure_angles
from microrun.runtime.textures.open import open_texture
from microrun.runtime.textures.rotations import crystal_axes, multiply, to_euler, turn_onto

MACKENZIE = {15: 0.0228, 30: 0.1803, 45: 0.5981}  # shares below these angles: 2/15 (w − sin w), w in degrees


def test_uniform_neighbours_are_turned_as_mackenzie_says() -> None:
    euler = open_texture("uniform", "fcc").draw(200_000, np.random.default_rng(0))
    angles = measure_angles(euler, np.arange(200_000).reshape(-1, 2), "m-3m")
    for limit, share in MACKENZIE.items():
        assert (angles < limit).mean() == pytest.approx(share, abs=0.004)
    assert angles.mean() == pytest.approx(40.74, abs=0.1)
    assert 62 < angles.max() < 62.81


def test_the_same_seed_draws_the_same_orientations() -> None:
    for text in ("uniform", "fibre:111@z:10"):
        drawn = [open_texture(text).draw(50, np.random.default_rng(seed)) for seed in (3, 3, 4)]
        assert (drawn[0] == drawn[1]).all()
        assert (drawn[0] != drawn[2]).any()


def test_angles_and_quaternions_are_one_another() -> None:
    euler = open_texture("uniform").draw(1000, np.random.default_rng(1))
    assert_allclose(to_euler(to_quaternions(euler)), euler, atol=1e-7)


def test_the_axes_of_crystals_are_those_of_orix() -> None:
    from orix.quaternion import Rotation

    euler = open_texture("uniform").draw(100, np.random.default_rng(1))
    assert_allclose(crystal_axes(to_quaternions(euler)), Rotation.from_euler(euler).to_matrix(), atol=1e-12)


@pytest.mark.parametrize("half_width", [5, 15, 40])
def test_half_of_a_fibres_grains_lie_within_its_half_width(half_width: int) -> None:
    euler = open_texture(f"fibre:001@z:{half_width}").draw(100_000, np.random.default_rng(0))
    tilts = np.rad2deg(euler[:, 1])  # of the crystal's own [001], not of its equivalents
    inner, outer = (np.histogram(tilts, edges)[0][0] / np.diff(np.cos(np.deg2rad(edges[::-1])))[0]
                    for edges in ((0, half_width / 5), (half_width * 0.95, half_width * 1.05)))  # fmt: skip
    assert outer / inner == pytest.approx(0.5, abs=0.06)
    assert (tilts < half_width).mean() == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("text", "phase", "direction", "axis"),
    [
        ("fibre:111@z:1", "fcc", (1, 1, 1), (0, 0, 1)),
        ("fiber:1,-1,0@1,1,0:1", "bcc", (1, -1, 0), (1, 1, 0)),
        ("fibre:-110@x:1", "bcc", (-1, 1, 0), (1, 0, 0)),
        ("fibre:0001@y:1", "hcp", (0, 0, 1), (0, 1, 0)),
        ("fibre:2,-1,-1,0@-1,0,0:1", "6/mmm", (1, 0, 0), (-1, 0, 0)),
        ("fibre:101@z:1", "hcp:1.6", (1, 0, 1.6), (0, 0, 1)),
    ],
)
def test_a_crystal_direction_is_along_a_sample_direction(
    text: str, phase: str, direction: tuple[float, ...], axis: tuple[float, ...]
) -> None:
    from orix.quaternion import Rotation
    from orix.vector import Vector3d

    euler = open_texture(text, phase).draw(500, np.random.default_rng(0))
    found = (~Rotation.from_euler(euler) * Vector3d(direction)).unit  # the crystal's direction as the sample sees it
    assert np.rad2deg(found.angle_with(Vector3d(axis))).max() < 10
    assert np.rad2deg(found.angle_with(Vector3d(axis))).mean() < 2
    about = Rotation.from_euler(euler) * Vector3d(np.cross(axis, (1, 2, 3))).unit
    assert np.linalg.norm(about.data.mean(axis=0)) < 0.2  # turned about it at will


def test_a_vector_is_turned_onto_its_opposite() -> None:
    start = np.array([0.0, 0.0, 1.0])
    turned = crystal_axes(turn_onto(start, np.array([[0.0, 0.0, -1.0]])))[0]
    assert_allclose(turned.T @ start, [0, 0, -1], atol=1e-12)
    assert_allclose(multiply(np.eye(4)[:1], np.eye(4)[1:2]), np.eye(4)[1:2])


@pytest.mark.parametrize(
    ("text", "phase", "said"),
    [
        ("fibre:001", None, "a fibre is written fibre:001@z:15"),
        ("fibre:001@q:15", None, "a fibre is written"),
        ("fibre:001@z:0", None, "more than 0° and at most 90°; got 0"),
        ("fibre:001@z:91", None, "at most 90°"),
        ("fibre:000@z:5", None, "index other than 0"),
        ("fibre:01@z:5", None, "three indices"),
        ("fibre:001@0,0,0:5", None, "three indices"),
        ("fibre:1,,1@z:5", None, "a fibre is written"),
        ("fibre:0001@z:5", "fcc", "four indices are u, v, t, w of hexagonal crystals"),
        ("fibre:1111@z:5", "hcp", "u + v + t = 0"),
        ("fibre:101@z:5", "6/mmm", "give --phase hcp:C/A"),
        ("fibre:001@z:5", "mmm", "cubic or hexagonal"),
        ("uniform", "gold", "--phase: symmetry 'gold' is not a point group"),
        ("random", None, "a texture is uniform, fibre:001@z:15"),
        ("map.png", None, "or a file of .ang"),
    ],
)
def test_what_is_no_texture_is_one_line(text: str, phase: str | None, said: str) -> None:
    with pytest.raises(TextureError) as error:
        open_texture(text, phase)
    one_line(error, said)


def test_crystals_that_nobody_stated_are_fcc() -> None:
    assert settle_crystal("x", None, None) == ("m-3m", "fcc", True)
    assert settle_crystal("x", "62", None) == ("6/mmm", "", False)
    assert settle_crystal("x", "62", "hcp:1.6") == ("6/mmm", "hcp:1.6", False)
    assert settle_crystal("x", None, "432") == ("m-3m", "", False)
    with pytest.raises(TextureError, match=r"x: its crystals have symmetry 6/mmm, which is not that of --phase fcc"):
        settle_crystal("x", "62", "fcc")
