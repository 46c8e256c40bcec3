"""Melt pools against closed forms, their heat balance, and what a number of threads must not change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from one_line import one_line
from scipy.integrate import quad

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool import solve
from microrun.training.simulate.melt_pool.box import Box, beam_shares, choose_box, depth_shares, hot_faces
from microrun.training.simulate.melt_pool.conduction import MovingHeat
from microrun.training.simulate.melt_pool.eagar_tsai import eagar_tsai, temperature_at
from microrun.training.simulate.melt_pool.field import HOT_K
from microrun.training.simulate.melt_pool.material import STEEL_316L, Material
from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field

SMALL = Process(60.0, 1.2)
PLAIN = Material(  # constant properties and hardly any latent heat, as the closed forms have it
    "plain", conductivity_w_mk=25.0, conductivity_slope_w_mk2=0.0, heat_capacity_j_kgk=600.0,
    heat_capacity_slope_j_kgk2=0.0, latent_heat_j_kg=1.0,
)  # fmt: skip


def published_eagar_tsai(x: float, y: float, z: float, process: Process) -> float:
    """Their integral as printed, of a source of no depth: Welding Journal 62 (1983), p. 346-s, Eq. 16."""
    alpha, sigma = PLAIN.diffusivity(1000.0), process.beam_radius_um * 1e-6 / 2
    scale = process.absorptivity * process.power_w
    scale /= math.pi * PLAIN.density_kg_m3 * 600.0 * math.sqrt(4 * math.pi * alpha)

    def integrand(root: float) -> float:  # dt/√t = 2 d√t
        t = root**2
        spread = 2 * alpha * t + sigma**2
        behind = x + process.speed_m_s * t
        upright = z**2 / (4 * alpha * t) if t else (math.inf if z else 0.0)
        return 2 / spread * math.exp(-(behind**2 + y**2) / (2 * spread) - upright)

    points = [math.sqrt(max(-x, 1e-9) / process.speed_m_s)]
    return process.preheat_k + scale * quad(integrand, 0, math.sqrt(5e-3), points=points, limit=400)[0]


@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (-8e-5, 3e-5, 2e-5), (-3e-4, 0.0, 5e-5), (4e-5, 1e-5, 1e-5)])
def test_the_closed_form_is_that_of_eagar_and_tsai(place: tuple[float, float, float]) -> None:
    process = Process(150.0, 0.9, depth_um=0.05)
    axes = [np.array([value]) for value in place]
    found = temperature_at(*axes, process, PLAIN).item()
    assert found == pytest.approx(published_eagar_tsai(*place, process), rel=3e-3)


def test_the_closed_form_of_a_point_is_that_of_rosenthal() -> None:
    process = Process(100.0, 0.5, beam_radius_um=0.5, depth_um=0.1)
    alpha = PLAIN.diffusivity(1000.0)
    x, y, z = np.array([-4e-4, -1.5e-4, 2e-5]), np.array([0.0, 4e-5]), np.array([1e-5, 6e-5])
    where_z, where_y, where_x = np.meshgrid(z, y, x, indexing="ij")
    r = np.sqrt(where_x**2 + where_y**2 + where_z**2)
    rise = process.absorptivity * process.power_w / (2 * math.pi * 25.0 * r)
    rise *= np.exp(-process.speed_m_s * (r + where_x) / (2 * alpha))
    assert_allclose(temperature_at(x, y, z, process, PLAIN) - 300, rise, rtol=3e-3)


def test_conduction_with_constant_properties_is_the_closed_form() -> None:
    closed = finish(compute_field(SMALL, PLAIN, "eagar-tsai"))
    made = finish(compute_field(SMALL, PLAIN, "conduction"))
    one, other = measure_pool(closed), measure_pool(made)
    assert other.width_um == pytest.approx(one.width_um, rel=0.01)
    assert other.depth_um == pytest.approx(one.depth_um, rel=0.025)
    assert other.length_um == pytest.approx(one.length_um, rel=0.01)
    warm = closed.temperature > 600
    assert np.abs(made.temperature / closed.temperature - 1)[warm].mean() < 0.01


def test_smaller_cells_come_closer_to_the_closed_form() -> None:
    depth = measure_pool(finish(compute_field(SMALL, PLAIN, "eagar-tsai", 2.5))).depth_um
    errors = [abs(measure_pool(finish(compute_field(SMALL, PLAIN, step_um=step))).depth_um - depth) for step in (10, 5)]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("kind", ["conduction", "flow"])
def test_what_goes_in_is_stored_carried_away_or_lost(kind: solve.FieldKind) -> None:
    process = replace(SMALL, convection_w_m2k=2e4, emissivity=0.5)
    balance = finish(compute_field(process, kind=kind, step_um=5.0)).balance
    assert balance is not None
    assert balance.absorbed_w == pytest.approx(24.0)
    assert 0.05 < balance.lost_w < 5
    assert abs(balance.error) < 1e-5
    assert abs(balance.stored_w) < 0.01 * balance.absorbed_w
    assert balance.divergence < 1e-5


def test_losses_are_those_of_newton_and_stefan_and_boltzmann() -> None:
    process = Process(1e-9, 1.0, convection_w_m2k=1e5, emissivity=0.8)
    with Workers(1) as workers:
        heat = MovingHeat(Box((4, 6, 8), 4.0, 4), process, PLAIN, workers)
        heat.enthalpy[:] = 600.0 * 1000  # 1300 K
        heat.travel()
        flux = 1e5 * 1000 + 0.8 * 5.670374419e-8 * (1300**4 - 300**4)
        area = 2 * 6 * 8 * 4e-6**2
        assert heat.ledger.lost == pytest.approx(flux * area * heat.ledger.seconds, rel=0.05)  # it cools meanwhile


@pytest.mark.parametrize("kind", ["conduction", "flow"])
def test_the_number_of_threads_changes_nothing(kind: solve.FieldKind) -> None:
    one, three = (finish(compute_field(SMALL, kind=kind, step_um=6.0, threads=threads)) for threads in (1, 3))
    assert_array_equal(one.temperature, three.temperature)


def test_the_field_is_steady_and_symmetric_and_its_laser_is_where_it_says() -> None:
    field = finish(compute_field(SMALL))
    assert field.balance is not None and field.balance.drift_k <= 1
    assert field.temperature.dtype == np.float32 and field.temperature.shape[1] % 2 == 0
    assert_array_equal(field.temperature, field.temperature[:, ::-1])
    _, _, hottest = np.unravel_index(np.argmax(field.temperature), field.temperature.shape)
    assert 0 < field.laser_um - hottest * field.step_um < 40  # heat lags behind the beam
    assert not any(hot_faces(field.temperature))


def test_a_box_that_is_too_small_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = measure_pool(finish(compute_field(SMALL, step_um=6.0)))
    monkeypatch.setattr(solve, "choose_box", lambda process, material, step: Box((6, 8, 28), step, 14))
    for kind in ("conduction", "eagar-tsai"):
        field = finish(compute_field(SMALL, kind=kind, step_um=6.0))
        assert field.temperature[:, :, 0].max() < HOT_K and field.temperature[0].max() < HOT_K
    pool = measure_pool(finish(compute_field(SMALL, step_um=6.0)))
    assert pool.width_um == pytest.approx(expected.width_um, rel=0.02)


@pytest.mark.parametrize("growths", [0, 1, 2])
def test_the_laser_is_where_it_says_in_a_box_that_stays_too_small(
    monkeypatch: pytest.MonkeyPatch, growths: int
) -> None:
    monkeypatch.setattr(solve, "choose_box", lambda process, material, step: Box((4, 4, 12), step, 4))
    monkeypatch.setattr(solve, "GROWTHS", growths)
    field = finish(compute_field(SMALL, kind="eagar-tsai", step_um=6.0))
    assert any(hot_faces(field.temperature))
    depth, rows, cols = field.temperature.shape
    box = Box((depth, rows // 2, cols), 6.0, round(field.laser_um / 6.0))
    assert_array_equal(field.temperature[:, rows // 2 :], eagar_tsai(box, SMALL, STEEL_316L))


@pytest.mark.parametrize("power", [100.0, 200.0])
@pytest.mark.parametrize("speed", [0.5, 1.0])
def test_the_box_of_the_window_of_the_paper_holds_what_is_hot_at_once(power: float, speed: float) -> None:
    process = Process(power, speed)
    box = choose_box(process, STEEL_316L, 4.0)
    with Workers(2) as workers:
        heat = finish(solve._settle_grown(MovingHeat(box.coarser(), process, STEEL_316L, workers), solve.CONDUCTION))
    assert heat.box.shape == box.coarser().shape


def test_the_beam_and_the_source_are_shared_out_whole() -> None:
    box = choose_box(SMALL, STEEL_316L, 4.0)
    shares = beam_shares(box, SMALL, 0.3)
    assert shares.sum() == pytest.approx(0.5, abs=1e-6)
    middle = (np.arange(box.shape[2]) + 0.5 - box.laser_cells) @ shares.sum(axis=0) / shares.sum()
    assert middle == pytest.approx(0.3, abs=1e-4)
    for depth in (1.0, 4.0, 11.0, 37.5):
        planes = depth_shares(box, replace(SMALL, depth_um=depth))
        assert planes.sum() == pytest.approx(1)
        assert np.count_nonzero(planes) == math.ceil(depth / 4)


@pytest.mark.parametrize(
    ("process", "step", "said"),
    [
        (SMALL, 0.0, "above 0 µm; got 0"),
        (SMALL, math.nan, "above 0 µm; got nan"),
        (SMALL, 0.2, "take a larger --cell"),
        (Process(2000.0, 0.01), 4.0, "million cells"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_a_line(process: Process, step: float, said: str) -> None:
    with pytest.raises(MicrorunError) as error:
        finish(compute_field(process, step_um=step))
    one_line(error, said)
