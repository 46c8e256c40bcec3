from __future__ import annotations

import numpy as np
import pytest

from microrun.training.loop.schedules import rate_share
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.losses import KL_FLOOR, kl_share


def test_the_learning_rate_warms_up_stays_and_falls_to_nothing() -> None:
    config = VaeConfig(rate_warmup=100, decay=0.4)
    shares = np.array([rate_share(config, step, 1000) for step in range(1000)])
    assert shares[0] == 0.01 and shares[99] == 1
    assert (np.diff(shares[:100]) > 0).all() and (shares[99:601] == 1).all() and (np.diff(shares[601:]) < 0).all()
    assert shares[800] == pytest.approx(0.5) and shares[-1] < 1e-4


def test_the_kl_weight_grows_as_a_square_from_its_floor() -> None:
    config = VaeConfig(kl_warmup=0.5)
    shares = [kl_share(config, step, 1000) for step in range(1000)]
    assert shares[0] == KL_FLOOR and shares[250] == 0.25 and set(shares[500:]) == {1.0}
    assert sorted(shares) == shares


def test_without_warm_up_and_decay_all_is_full_at_once() -> None:
    config = VaeConfig(rate_warmup=0, kl_warmup=0, decay=0)
    assert {(rate_share(config, step, 9), kl_share(config, step, 9)) for step in range(9)} == {(1.0, 1.0)}
