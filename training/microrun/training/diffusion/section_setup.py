"""Settings of a run on sections, from what a user asks for, the sections, and the model that is begun from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.section_set import SectionSet
from microrun.training.diffusion.section_config import CHANNELS, POWER, SCHEDULES, SPEED, SectionConfig
from microrun.training.diffusion.start import FINE_TUNING_RATE, Start
from microrun.training.diffusion.unet_config import Embedding, UnetConfig, section_unet

HELD_OUT_SHARE = 0.1  # of the cases, and at least one
NEAR = 0.05  # of the span of powers or speeds, that round ends of a window may lie beyond it


@dataclass(frozen=True)
class Network:
    """What is asked of a new network.

    Parameters
    ----------
    size
        "small" or "published"; None for "small".
    embedding
        How conditions enter; None for what suits the size.
    """

    size: str | None = None
    embedding: Embedding | None = None

    def unet(self, channels: int) -> UnetConfig:
        """Shape of the network, of so many channels; ValueError if there is none of this size."""
        unet = section_unet(self.size or "small", channels)
        return unet if self.embedding is None else replace(unet, condition_embedding=self.embedding)


def configure(
    sections: SectionSet, asked: Mapping[str, Any], network: Network = Network(), start: Start | None = None
) -> SectionConfig:
    """Make the settings of a new run.

    Parameters
    ----------
    sections
        To train on: they bring plane, sides, step, and windows of power and speed that are not asked for.
    asked
        Values of `SectionConfig` by name.
    network
        Of a run from nothing.
    start
        To begin from: it brings network, schedule, representation and windows.

    Raises
    ------
    MicrorunError
        If the model draws other samples, or what it brings is asked for.
    ValueError
        If settings make no sense.
    """
    cases = len(np.unique(sections.case))
    of_data: dict[str, Any] = {
        "sides": sections.orientation.shape[1:], "step_um": sections.step_um, "plane": sections.plane,
        "held_out": max(1, round(HELD_OUT_SHARE * cases)),
    }  # fmt: skip
    if start is None:
        windows = {name: _window(getattr(sections, name)) for name in (POWER, SPEED)}
        return SectionConfig(**{**of_data, **windows, **_kind(asked.get("representation", "codes"), network), **asked})
    own = "rgb" if start.diffusion.palette else "codes"
    start.check(SectionConfig(**of_data, **_kind(asked.get("representation", own))).diffusion)
    if network != Network() or any(name in asked for name in (POWER, SPEED)):
        raise MicrorunError(
            f"{start.path}: brings its own size, embedding and windows of power and speed; leave them out"
        )
    return SectionConfig(**{**of_data, **_brought(start, own), **asked})


def go_on(
    folder: Path, asked: Mapping[str, Any], network: Network = Network(), start: Start | None = None
) -> SectionConfig:
    """Read the settings of a run, with what is asked for in their place: `load_state` says what differs.

    Raises
    ------
    MicrorunError
        If they cannot be read, or the run distils a model that is not given again.
    ValueError
        If what is asked for makes no sense.
    """
    base = SectionConfig.load(folder / "config.json")
    if base.distil and start is None:
        raise MicrorunError(f"{folder}: learns from a model, which it needs again: give it with --from")
    if network != Network():
        raise MicrorunError(f"{folder}: goes on with the network that it has; leave out what a new one would be")
    origin = base.fine_tuned_from if start is None else start.origin
    return replace(base, **{"fine_tuned_from": origin, **asked})


def _brought(start: Start, representation: str) -> dict[str, Any]:
    windows = {one.name: (one.low, one.high) for one in start.diffusion.conditions}
    return {
        **windows, "representation": representation, "unet": start.unet.config, "schedule": start.diffusion.schedule,
        "learning_rate": FINE_TUNING_RATE, "fine_tuned_from": start.origin,
    }  # fmt: skip


def _kind(representation: str, network: Network = Network()) -> dict[str, Any]:
    """Network and schedule of a representation; of one that there is not, those of codes: settings refuse it."""
    known = representation if representation in CHANNELS else "codes"
    return {
        "representation": representation, "unet": network.unet(CHANNELS[known]), "schedule": SCHEDULES[known],
    }  # fmt: skip


def _window(values: Float64) -> tuple[float, float]:
    """Smallest to largest; or the round numbers just beyond: points spread over 100 to 200 W end a little inside."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, high
    step = 10.0 ** np.floor(np.log10(high - low))
    below, above = (round(float(edge * step), 12) for edge in (np.floor(low / step), np.ceil(high / step)))
    near = NEAR * (high - low)
    return below if low - below <= near else low, above if above - high <= near else high
