"""Scans that show nothing but noise, at first."""

from __future__ import annotations

import numpy as np

from microrun.runtime.latents.watched import MONITOR
from microrun.runtime.monitor.watch import Watch
from microrun.runtime.scans.scan import Scan


def test_a_scan_that_begins_as_noise_without_any_contrast_is_encoded_to_its_end() -> None:
    rows = np.zeros(60, MONITOR)
    rows["first"], rows["count"], rows["mean"] = 64 * np.arange(60), 64, 1000
    rows["contrast"][40:] = 0.1
    watching = Watch(Scan((60, 64), (8, 8)), 64)
    for row in rows:
        watching.add(row)
    assert watching.baseline > 0 and watching.alarms == []
