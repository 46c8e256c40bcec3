"""Sections of a part, and the file that holds the part."""

import json

import h5py
import numpy as np
import pytest
from small_pool import make_small_pool

from microrun.runtime.progress import finish
from microrun.runtime.sections.orientations import TABLE_1
from microrun.runtime.sections.section_set import read_sections, write_sections
from microrun.runtime.volumes.volume import open_volume
from microrun.training.simulate.solidify import sections
from microrun.training.simulate.solidify.build import build_part
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.sections import cut_sections, section_shapes
from microrun.training.simulate.solidify.store import write_part

PLAN = Plan(layers=2, tracks=2, length_um=44, hatch_um=24, layer_um=12, substrate_um=8, seed=5)


@pytest.fixture(scope="module")
def part():
    return finish(build_part(make_small_pool(), PLAN))


def test_sections_across_show_the_surface_on_top_and_the_middle_track(part):
    across, _ = cut_sections(part, 7)
    grains, middle = part.grains, part.track_middle(1)
    half = across.orientation.shape[2] // 2
    assert across.orientation.shape[1] == min(100, grains.orientation.shape[0])
    expected = grains.orientation[::-1, middle - half : middle + half, 2]
    assert np.array_equal(across.orientation[0], expected[:100])
    assert np.array_equal(across.grain[0], grains.grain_id[::-1, middle - half : middle + half, 2][:100])
    assert (across.case == 7).all()
    assert (across.power_w == 150).all()
    assert (across.speed_m_s == 2).all()


def test_sections_along_run_as_the_laser_does(part, monkeypatch):
    monkeypatch.setattr(sections, "ALONG", 20)
    _, along = cut_sections(part)
    grains = part.grains
    per_track = len(along) // 2
    first, second = along.orientation[0], along.orientation[per_track]
    assert np.array_equal(first, grains.orientation[:-21:-1, part.track_middle(0) - 4, :20])
    # The second track runs backwards: its sections are turned, so that the laser goes to the right in all of them.
    assert np.array_equal(second, grains.orientation[:-21:-1, part.track_middle(1) - 4, :20][:, ::-1])
    assert along.plane == "along"


@pytest.mark.parametrize("sides", [(100, 64), (20, 12)])
def test_the_sizes_of_sections_are_known_before_a_part_is_built(part, monkeypatch, sides):
    monkeypatch.setattr(sections, "ACROSS", sides[0])
    monkeypatch.setattr(sections, "ALONG", sides[1])
    shapes = {one.plane: one.orientation.shape[1:] for one in cut_sections(part)}
    assert shapes == section_shapes(PLAN, part.window)


def test_sections_go_into_a_file_and_back(part, tmp_path):
    made = cut_sections(part, 3)
    write_sections(tmp_path / "s.h5", made)
    for one in made:
        read = read_sections(tmp_path / "s.h5", one.plane)
        assert np.array_equal(read.orientation, one.orientation)
        assert np.array_equal(read.grain, one.grain)
        assert json.loads(read.details["plan"])["seed"] == 5


def test_a_part_is_a_volume_that_other_commands_read(part, tmp_path):
    path = tmp_path / "part.h5"
    write_part(path, part)
    with open_volume(path, "grain_id") as volume:
        assert np.array_equal(np.asarray(volume), part.grains.grain_id)
    with h5py.File(path) as file:
        assert np.array_equal(file["orientation"][()], part.grains.orientation)
        assert np.array_equal(file["euler"][()], TABLE_1)
        assert file.attrs["step_um"] == 2.0
        assert json.loads(file.attrs["process"])["power_w"] == 150
        assert json.loads(file.attrs["tally"])["nuclei"] == part.tally.nuclei
