"""A moving temperature field that is small and has a closed form."""

import numpy as np

from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.process import Process


def make_small_pool(peak_k=2600.0, speed_m_s=2.0, shape=(12, 16, 40), front=10, power_w=150.0):
    """An ellipsoid of heat with a tail: a Gaussian in front, a longer one behind; cells of 4 µm."""
    z, y, x = (np.arange(side) + 0.5 for side in shape)
    down, across, along = shape[0] - z, y - shape[1] / 2, x - (shape[2] - front)
    reach = np.where(along > 0, 3.0, 11.0)
    distance = (down[:, None, None] / 4) ** 2 + (across[:, None] / 3) ** 2 + (along / reach) ** 2
    temperature = (300 + (peak_k - 300) * np.exp(-distance / 2)).astype(np.float32)
    process = Process(power_w, speed_m_s)
    return MovingField(temperature, 4.0, (shape[2] - front) * 4.0, process, STEEL_316L, "conduction")
