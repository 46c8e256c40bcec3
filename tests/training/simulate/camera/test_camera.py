"""Patterns of simulated cameras: what is asked for is in them, and nothing depends on who makes them."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.patterns.bands import correlate, high_pass
from microrun.training.simulate.camera.bands import View
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.matched import Matched, check_voltages, domain_of
from microrun.training.simulate.camera.materials import Material, load_material
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator, Patterns
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.simulate.patterns import PatternSimulator

NOTHING = Conditions(
    pixels=(120,), energy_mixing=0, fine_detail=(1, 1), flanks=(1, 1), saturation=(0, 0), excess_deficiency=0,
    point_spread_px=(0, 0), even=1,
    noise=(1e-6, 1e-6), correlated_noise=0, blotches=0, brightness=(0, 0), high_passed=0, shadowed=0, bad_pixels=0,
    clipped=0, gamma=0, mixed=0,
)  # fmt: skip


@cache
def nickel() -> Material:
    return load_material("nickel", (20,))


def make(conditions: Conditions, count: int = 24, seed: int = 0) -> Patterns:
    return CameraSimulator([nickel()], [1], conditions, seed).make(0, count)


def changed(**conditions: Any) -> Patterns:
    return make(replace(NOTHING, **conditions))


def inside(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images[:, KEEP]


def noise_to_bands(made: Patterns) -> NDArray[np.float32]:
    noise, bands = inside(made.patterns - made.expected), inside(made.expected)
    return np.asarray(noise.std(axis=1) / bands.std(axis=1))


def test_all_patterns_are_prepared_ones() -> None:
    made = make(Conditions(), 60)
    for images in (made.patterns, made.expected, made.bands):
        assert images.dtype == np.float32 and np.isfinite(images).all() and not images[:, ~KEEP].any()
        assert images.min() >= -1 and images.max() <= 1
    assert_array_equal(inside(made.patterns).min(axis=1), -1)
    assert inside(made.bands).max(axis=1) == pytest.approx(1)
    assert np.linalg.norm(made.rotations, axis=1) == pytest.approx(1)
    for values, (low, high) in zip(made.centres.T, Conditions().pattern_centre, strict=True):
        assert (low <= values).all() and (values <= high).all() and np.ptp(values) > 0.5 * (high - low)


@given(st.integers(0, 50), st.integers(1, 5))
def test_a_pattern_is_the_same_whatever_is_made_with_it(first: int, count: int) -> None:
    together, alone = (CameraSimulator([nickel()], [1], Conditions(), 7) for _ in range(2))
    many = together.make(first, count)
    for mine, theirs in zip(alone.make(first + count - 1, 1), many, strict=True):
        assert_array_equal(mine[0], theirs[-1])


def test_another_seed_makes_other_patterns() -> None:
    assert not np.allclose(make(Conditions(), 1).patterns, make(Conditions(), 1, seed=1).patterns)


def test_without_anything_else_patterns_are_the_bands() -> None:
    made = make(NOTHING)
    assert correlate(made.patterns, made.bands, KEEP).min() > 0.9999


def test_the_bands_are_those_of_the_scan_simulator() -> None:
    made = make(replace(NOTHING, tilt_deg=(70, 70)), 4)
    for bands, rotation, centre in zip(made.bands, made.rotations, made.centres, strict=True):
        theirs = PatternSimulator((120, 120), tuple(centre)).project(rotation[None])
        assert correlate(bands[None], theirs, KEEP) > 0.999


def test_noise_is_as_strong_as_asked() -> None:
    for strength in (0.3, 2.0):
        assert np.median(noise_to_bands(changed(noise=(strength, strength)))) == pytest.approx(strength, rel=0.1)
    weak, strong = changed(noise=(0.1, 0.1)), changed(noise=(0.1, 3.0))
    assert np.ptp(noise_to_bands(strong)) > 5 * np.ptp(noise_to_bands(weak))


def test_brightness_is_smooth_and_as_strong_as_asked() -> None:
    made = changed(brightness=(1, 1), brightness_order=(0.8, 0.8))
    left = made.expected - high_pass(made.expected, KEEP)
    assert np.median(inside(left).std(axis=1) / inside(high_pass(made.expected, KEEP)).std(axis=1)) > 0.7
    assert correlate(high_pass(made.expected, KEEP), high_pass(made.bands, KEEP), KEEP).min() > 0.9


@pytest.mark.parametrize(
    "conditions",
    [
        {"point_spread_px": (2.5, 2.5)}, {"mixed": 1.0}, {"tilt_deg": (60.0, 60.0)}, {"pixels": (60,)},
    ],
    ids=lambda conditions: next(iter(conditions)),
)  # fmt: skip
def test_what_tells_of_the_crystal_is_in_the_clean_twin_too(conditions: dict[str, Any]) -> None:
    made, plain = changed(**conditions), make(NOTHING)
    assert np.abs(made.bands - plain.bands).mean() > 0.01
    assert correlate(made.patterns, made.bands, KEEP).min() > 0.999


@pytest.mark.parametrize(
    "conditions",
    [
        {"blotches": 1.0, "fine_blotches": 2.0}, {"shadowed": 1.0}, {"bad_pixels": 1.0}, {"clipped": 1.0},
        {"gamma": 1.0}, {"excess_deficiency": 3.0}, {"fine_detail": (0.5, 0.5)}, {"flanks": (0.0, 0.0)},
        {"saturation": (0.3, 0.3)}, {"even": 0.0, "envelope_width": (0.2, 0.2)}, {"high_passed": 1.0},
        {"high_passed": 1.0, "locally_scaled": 1.0},
    ],
    ids=lambda conditions: list(conditions)[-1],
)  # fmt: skip
def test_what_tells_nothing_of_the_crystal_is_not_in_the_clean_twin(conditions: dict[str, Any]) -> None:
    made, plain = changed(**conditions), make(NOTHING)
    assert correlate(made.bands, plain.bands, KEEP).min() > 0.9999  # the noise is drawn after the bands
    assert np.abs(made.patterns - plain.patterns).mean() > 1e-3


def test_inverted_patterns_have_dark_bands() -> None:
    made = changed(inverted=1.0)
    assert correlate(made.patterns, made.bands, KEEP).max() < -0.999


def test_energies_are_mixed() -> None:
    first = nickel()
    other = first.masters[:, ::-1]  # any other master pattern will do
    both = Material(first.crystal, (15.0, 20.0), np.concatenate([other, first.masters]))
    made = CameraSimulator([both], [1], replace(NOTHING, energy_mixing=1.0), 0).make(0, 40)
    single = CameraSimulator([both], [1], NOTHING, 0).make(0, 40)
    pure = [CameraSimulator([one], [1], NOTHING, 0) for one in (nickel(), nickel()._replace(masters=other))]
    of_one = np.max([correlate(single.expected, one.make(0, 40).expected, KEEP) for one in pure], axis=0)
    assert (of_one > 0.9999).mean() > 0.4  # where the draws of the two agree
    assert not np.allclose(made.expected, single.expected)
    assert_array_equal(made.bands[0], pure[0].make(0, 1).bands[0])  # the clean twin is that of 20 keV


def test_phases_come_as_often_as_asked() -> None:
    simulator = CameraSimulator([nickel(), nickel()], [3, 1], NOTHING, 0)
    assert simulator.make(0, 200).materials.mean() == pytest.approx(0.25, abs=0.1)


def test_processes_make_what_one_alone_makes() -> None:
    simulator = CameraSimulator([nickel()], [1], Conditions(), 3)
    alone = PatternStream(simulator, 4, processes=0)
    with PatternStream(simulator, 4) as stream:
        for number in (0, 1, 5, 5, 2):
            for theirs, mine in zip(stream.take(number), alone.take(number), strict=True):
                assert_array_equal(theirs, mine)
        stream.close()
        assert_array_equal(stream.take(1).patterns, alone.take(1).patterns)


ENDLESS = """
import sys
from microrun.training.simulate.camera.matched import Matched
from microrun.training.simulate.camera.stream import PatternStream
if __name__ == "__main__":
    with PatternStream(Matched().simulator(0), 2) as stream:
        stream.take(0)
        print(*[process.pid for process in stream._pool._processes.values()], flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_processes_end_with_the_one_that_needs_them(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(script)], **pipes)  # type: ignore[call-overload]
    made_by = Path("/proc") / process.stdout.readline().strip()
    assert made_by.exists()
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while made_by.exists() and (made_by / "stat").read_text().split()[2] != "Z" and time.monotonic() < until:
        time.sleep(0.05)
    assert time.monotonic() < until


def test_a_view_turns_the_beam_by_the_tilt() -> None:
    view = View(np.array([1.0, 0, 0, 0]), np.zeros(3), 90.0)
    assert view.turn() @ (0, 0, 1) == pytest.approx((0, 0, 1), abs=1e-6)  # the screen is parallel to the surface


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": (0.0, 1.0)}, {"noise": (2.0, 1.0)}, {"pixels": ()}, {"pixels": (500,)}, {"brightness": (0, np.inf)},
        {"pattern_centre": ((0.4, 0.5), (0.7, 0.8), (0.0, 0.5))}, {"gamma": -0.1},
    ],
)  # fmt: skip
def test_conditions_that_no_camera_has_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MicrorunError):
        Conditions(**wrong)


def test_simulations_match_what_is_asked_for() -> None:
    matched = Matched(("nickel",), (20.0,), (0.5, 0.7, 0.6))
    simulator = matched.simulator(4)
    known = domain_of(simulator)
    assert known.phases == ("nickel",) and known.energy_kev == (20, 20) and known.centre == (0.5, 0.7, 0.6)
    assert known.noise == Conditions().noise and str(simulator) == "nickel (20 kV)"
    assert (
        Matched.from_dict({"phases": ["nickel"], "energies_kev": [20.0], "pattern_centre": [0.5, 0.7, 0.6]}) == matched
    )
    wide = matched.simulator(4, (480, 640))  # of the square in its middle x is nearer to the edge
    assert domain_of(wide).centre == (0.5, 0.7, 0.6) and wide.identity == simulator.identity
    aside = Matched(("nickel",), (20.0,), (0.35, 0.79, 0.5)).simulator(4, (480, 640))
    assert domain_of(aside).centre[0] == pytest.approx(0.5 - 0.15 * 640 / 480)
    usual = Matched().simulator(4)
    assert usual.conditions == Conditions() and usual.identity != simulator.identity
    assert matched.simulator(5).identity != simulator.identity == matched.simulator(4).identity


def test_phases_and_voltages_that_nothing_knows_are_refused() -> None:
    with pytest.raises(ScanError, match="unobtainium"):
        Matched(("unobtainium",)).simulator(0)
    with pytest.raises(MicrorunError, match="--kv"):
        check_voltages([20.0, 2e4])
