import numpy as np
import pytest
from solidification_oracles import advance

from microrun.cli.bench import solidify
from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.solidify.laws import STEEL_LAWS


@pytest.fixture(autouse=True)
def _copy_little(monkeypatch):
    monkeypatch.setattr(solidify, "COPY_BYTES", 1 << 16)


def test_peer_is_the_paper():
    box = solidify.make_box((4, 8, 12))
    eta, temperature = box.eta.astype(np.float64), box.temperature.astype(np.float64)
    for _ in range(5):
        expected = np.maximum(advance(eta, temperature, STEEL_LAWS, solidify.LIQUIDUS_K, 2e-6, 4e-7), 0)
        eta = solidify.advance_numpy(eta, temperature)
        np.testing.assert_allclose(eta, expected, atol=1e-12)


def test_box_holds_liquid_and_solid_and_all_is_hot():
    box = solidify.make_box((4, 8, 12))
    liquid = box.eta.sum(-1) == 0
    assert 0.2 < liquid.mean() < 0.8
    assert np.array_equal(liquid, box.temperature > solidify.LIQUIDUS_K)
    assert box.temperature.min() > STEEL_LAWS.hot_k


def test_figures_belong_together():
    machine, one, two = finish(solidify.measure_solidification(2, 2, (4, 8, 12)))
    for count, table in ((1, one), (2, two)):
        samples = zip(table.rows["speed"].samples, table.rows[solidify.NS].samples, strict=True)
        for speed, cost in samples:
            assert cost == pytest.approx(1e3 * count / speed)
        assert table["of memory"] == pytest.approx(table["speed"] / machine["memory allows"])


def test_a_kernel_that_is_wrong_is_not_measured(monkeypatch):
    monkeypatch.setattr(solidify, "advance_numpy", lambda eta, temperature: eta)
    with pytest.raises(MicrorunError, match="a defect"):
        finish(solidify.measure_solidification(1, 1, (4, 8, 12)))
