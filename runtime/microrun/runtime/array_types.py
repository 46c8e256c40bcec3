"""Names of the array types that stand in many signatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Raw = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_]
