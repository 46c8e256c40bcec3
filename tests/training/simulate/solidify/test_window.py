import dataclasses

import numpy as np
import pytest
from small_pool import make_small_pool

from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.solidify.laws import STEEL_LAWS
from microrun.training.simulate.solidify.window import cut_window


def test_the_window_holds_all_that_is_hot_and_lies_as_the_field_does():
    field = make_small_pool()
    window = cut_window(field, STEEL_LAWS, 2.0)
    temperature = window.table.temperature
    assert temperature.dtype == np.float32
    assert temperature.shape[1] % 2 == 0
    np.testing.assert_allclose(temperature, temperature[:, ::-1], rtol=1e-5)  # as wide on either side
    hot_field, hot = (
        (field.temperature > STEEL_LAWS.hot_k).sum() * 4.0**3,
        (temperature > STEEL_LAWS.hot_k).sum() * 2.0**3,
    )
    assert hot == pytest.approx(hot_field, rel=0.05)
    assert temperature[-1].max() == pytest.approx(field.temperature.max(), rel=0.01)


def test_a_linear_field_is_interpolated_exactly():
    field = make_small_pool()
    depth, width, length = field.temperature.shape
    along = np.linspace(1300, 1900, length) + np.zeros((depth, width, 1))
    inside = np.zeros((depth, width, length), bool)
    inside[4:, 4:-4, 6:-6] = True
    window = cut_window(
        dataclasses.replace(field, temperature=np.where(inside, along, 300).astype(np.float32)), STEEL_LAWS, 2.0
    )
    middle = window.table.temperature[-4, window.shape[1] // 2]
    steps = np.diff(middle[(middle > 1450) & (middle < 1750)])
    np.testing.assert_allclose(steps, (1900 - 1300) / (length - 1) / 2, atol=0.01)


def test_spans_hold_every_hot_cell_and_one_behind():
    window = cut_window(make_small_pool(), STEEL_LAWS, 2.0)
    hot = window.table.temperature > STEEL_LAWS.hot_k
    for z, y in np.ndindex(hot.shape[:2]):
        found = np.flatnonzero(hot[z, y])
        span = window.table.first[z, y], window.table.stop[z, y]
        assert span == ((found[0], found[-1] + 2) if len(found) else span)
        assert bool(len(found)) == (span[1] > span[0])
    assert window.table.first[window.table.stop > 0].min() >= 1  # the column before is looked at, too
    assert window.hot_cells >= hot.sum()


def test_what_melts_is_what_is_above_the_liquidus_somewhere_on_the_way():
    window = cut_window(make_small_pool(), STEEL_LAWS, 2.0)
    assert np.array_equal(window.molten, (window.table.temperature > 1723).any(axis=2))
    assert 0 < window.molten.mean() < 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": np.full((4, 4, 4), 900, np.float32)}, "nothing melts"),
        ({"temperature": make_small_pool().temperature[-4:]}, "cut off by the box at its bottom"),
        ({"temperature": make_small_pool().temperature[:, 6:-6]}, "at its side"),
        ({"temperature": make_small_pool().temperature[:, :, 20:]}, "at its end"),
        ({"temperature": make_small_pool().temperature[:, :, :-9]}, "at its front"),
        ({"step_um": 1.0}, "not to be wider"),
    ],
)
def test_fields_that_cannot_be_used_are_refused(change, said):
    with pytest.raises(MicrorunError, match=said):
        cut_window(dataclasses.replace(make_small_pool(), **change), STEEL_LAWS, 2.0)


def test_what_melts_only_in_the_coarse_field_is_refused():
    temperature = make_small_pool().temperature.copy()
    temperature[temperature > 1700] = 1700
    temperature[-1, temperature.shape[1] // 2, 25] = 1724
    with pytest.raises(MicrorunError, match="nothing melts"):
        cut_window(dataclasses.replace(make_small_pool(), temperature=temperature), STEEL_LAWS, 2.0)


@pytest.mark.parametrize("liquidus_k", [870.0, 2200.0])
def test_alloys_that_solidify_elsewhere_are_refused(liquidus_k):
    field = make_small_pool()
    metal = dataclasses.replace(field.material, name="other", solidus_k=liquidus_k - 60, liquidus_k=liquidus_k)
    with pytest.raises(MicrorunError, match="other has its liquidus at"):
        cut_window(dataclasses.replace(field, material=metal), STEEL_LAWS, 2.0)
