"""How often the alarm is right and wrong: simulated scans with and without drifts.

    python tests/benchmarks/alarm_quality.py [--first SEED] [--scans N] [--engine vae32]

simulates N polycrystals of nickel, each with a camera of its own. Of each, 71 % are acquired as they are; the rest once
as it is, and once with each drift, which comes within 128 patterns. A false alarm is one that begins where nothing
changed. The thresholds were chosen on the seeds from 100 on; those from 0 on are judged.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np

from microrun.kernels.measuring import MEASURES
from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.spot_check import SpotCheck
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.batch import EncodedBatch, is_sampled
from microrun.runtime.latents.watched import Alarm
from microrun.runtime.monitor.scan_monitor import ScanMonitor
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.training.simulate.camera.bands import View, project, standardise
from microrun.training.simulate.patterns import MEAN_SIGNAL, SIGNAL_STD, Exposure, blur
from microrun.training.simulate.sample import Recipe, grow_sample

NAV_SHAPE, SIG_SHAPE = (64, 45), (120, 120)
BEGIN, RAMP, BATCH = 2048, 128, 64
CENTRE = (0.42, 0.79, 0.50)


@dataclass(frozen=True)
class Drift:
    """What changes, at its full size.

    Parameters
    ----------
    blur_px
        Of a defocus, beyond that of the sample.
    current, contrast
        Beam current and contrast of the bands, as shares of what they were.
    clipped
        Share of the pixels that are saturated.
    shift
        By which the background moves, in widths of the detector.
    phase
        Of all that is under the beam: 1 is titanium.
    centre
        Change of the pattern centre.
    """

    blur_px: float = 0.0
    current: float = 1.0
    contrast: float = 1.0
    clipped: float = 0.0
    shift: float = 0.0
    phase: int = 0
    centre: float = 0.0


DRIFTS = {
    "none": Drift(),
    "defocus, 1.2 px": Drift(blur_px=1.2),
    "beam current −25 %": Drift(current=0.75),
    "contamination: contrast −35 %": Drift(contrast=0.65),
    "saturation, 5 % of the pixels": Drift(clipped=0.05),
    "background moved by 8 %": Drift(shift=0.08),
    "foreign phase": Drift(phase=1),
    "pattern centre off by 2 %": Drift(centre=0.02),
}


class Camera:
    """Acquires the patterns of a sample, number by number; noise is a function of the number."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng((11, seed))
        self.seed = seed
        self.sample = grow_sample(NAV_SHAPE, int(rng.integers(25, 80)), seed, Recipe(shading=rng.uniform(0, 0.02)))
        electrons, contrast = rng.uniform(2_500, 12_000), rng.uniform(0.07, 0.16)
        self.exposure = Exposure(
            electrons, contrast, gain=30_000 / electrons,
            background_centre=(rng.uniform(-0.1, 0.1), rng.uniform(-0.15, 0.05)),
            background_width=rng.uniform(0.28, 0.45),
        )  # fmt: skip
        self._sharp: dict[tuple[int, float], Float32] = {}
        self._clean: dict[tuple[int, float, int, float], Float32] = {}

    def acquire(self, numbers: range, drift: Drift) -> np.ndarray:
        return np.stack([self._expose(number, drift) for number in numbers])

    def background(self) -> Float32:
        mean = self.exposure.gain * self.exposure.electrons * _bell(self.exposure)
        return (mean + self.exposure.offset).astype(np.float32)

    def _expose(self, number: int, drift: Drift) -> np.ndarray:
        share = np.clip((number - BEGIN) / RAMP, 0, 1)
        exposure, sample = self.exposure, self.sample
        cell = sample.cell.ravel()[number]
        step = round(3 * share) / 3  # noise-free patterns are kept
        signal = self._signal(cell, step * drift.blur_px, drift.phase * (share > 0.5), step * drift.centre)
        x, y = exposure.background_centre
        now = replace(
            exposure,
            electrons=exposure.electrons * (1 + share * (drift.current - 1)),
            contrast=exposure.contrast * (1 + share * (drift.contrast - 1)),
        )
        background = _bell(replace(exposure, background_centre=(x + step * drift.shift, y)))
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, number]))
        shade = np.float32(1 + sample.shading[cell, 0])
        pattern = now.expose(signal, background * shade, rng)
        if drift.clipped and share:
            pattern = np.minimum(pattern, np.uint16(np.quantile(pattern, 1 - share * drift.clipped)))
        return pattern

    def _signal(self, cell: int, blur_px: float, phase: int, centre: float) -> Float32:
        key = int(cell), round(float(blur_px), 3), int(phase), float(centre)
        if key not in self._clean:
            image = self._project(int(phase), float(centre))[cell]
            self._clean[key] = blur(image, float(np.hypot(self.sample.blur_px[cell], blur_px)))
        return self._clean[key]

    def _project(self, phase: int, centre: float) -> Float32:
        """Noise-free patterns of all cells."""
        if (phase, centre) not in self._sharp:
            where, master = np.array((CENTRE[0] + centre, *CENTRE[1:])), _titanium() if phase else _nickel()
            views = (View(rotation, where, 70.0) for rotation in self.sample.rotations)
            bands = (standardise(project(master, view, SIG_SHAPE[0])) for view in views)
            self._sharp[phase, centre] = np.stack([SIGNAL_STD * one + MEAN_SIGNAL for one in bands])
        return self._sharp[phase, centre]


@cache
def _nickel() -> Float32:
    """Master pattern of nickel at 20 keV inside kikuchipy's wheel (CC BY 4.0), which need not be imported for that."""
    found = find_spec("kikuchipy")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "data" / "emsoft_ebsd_master_pattern"
    with h5py.File(folder / "ni_mc_mp_20kv_uint8_gzip_opts9.h5") as file:
        stored = file["EMData/EBSDmaster"]
        halves = [stored[name][()] for name in ("mLPNH", "mLPSH")]
    return np.stack([half.reshape(-1, *half.shape[-2:])[-1] for half in halves]).astype(np.float32)


@cache
def _titanium(side: int = 401) -> Float32:
    """Kinematical bands of the strongest planes of titanium at 20 keV, (2, side, side), in Lambert projection."""
    across = np.linspace(-1, 1, side)
    down, right = np.meshgrid(across, across, indexing="ij")
    steep = np.abs(down) > np.abs(right)
    far, near = np.where(steep, down, right), np.where(steep, right, down)
    angle = np.divide(near, far, out=np.zeros_like(near), where=far != 0) * np.pi / 4
    z = 1 - far**2
    flat = np.sqrt(np.maximum(1 - z**2, 0)) * np.sign(far)
    one, other = flat * np.cos(angle), flat * np.sin(angle)
    x, y = np.where(steep, other, one), np.where(steep, one, other)
    bands = np.zeros((2, side, side))
    a, c, wavelength = 0.2951, 0.4684, 0.00859  # in nm
    indices = np.array([(h, k, i) for h in range(-2, 3) for k in range(-2, 3) for i in range(-3, 4)])
    normals = np.stack(
        [indices[:, 0] / a, (indices[:, 0] + 2 * indices[:, 1]) / (a * np.sqrt(3)), indices[:, 2] / c], axis=1
    )
    for normal, length in zip(normals, np.linalg.norm(normals, axis=1), strict=True):
        if 0 < length < 9:  # per nm
            for half, height in enumerate((z, -z)):
                sine = np.abs(normal[0] * x + normal[1] * y + normal[2] * height) / length
                bands[half] += np.exp(-length / 3) / (1 + np.exp((sine - wavelength * length / 2) / 0.004))
    return bands.astype(np.float32)


@lru_cache(maxsize=8)
def _bell(exposure: Exposure) -> Float32:
    return exposure.background(SIG_SHAPE)


def encode(
    camera: Camera, numbers: range, drift: Drift, engine: Engine, preprocessor: Preprocessor
) -> list[EncodedBatch]:
    """As `encode` does, without its threads."""
    batches, background = [], preprocessor.bin_image(camera.background())
    for first in range(numbers.start, numbers.stop, BATCH):
        part = range(first, min(first + BATCH, numbers.stop))
        raw, n = camera.acquire(part, drift), len(part)
        prepared, measures = np.empty((n, *preprocessor.input_shape), np.float32), np.empty((n, MEASURES), np.float32)
        ranges, flags = np.empty((n, 2), np.float32), np.empty(n, bool)
        preprocessor.prepare(raw, background, prepared, ranges, flags, measures)
        indices, latents = np.arange(part.start, part.stop), run_all(engine, prepared[:, None])
        batches.append(EncodedBatch(indices, latents, ranges, flags, measures, prepared[is_sampled(indices)]))
    return batches


def watch(batches: list[EncodedBatch], check: SpotCheck, engine: Engine) -> tuple[Alarm, ...]:
    monitor = ScanMonitor(Scan(NAV_SHAPE, SIG_SHAPE, "uint16"), engine.spec.known)
    for batch in batches:
        monitor.add(batch, check.compare(batch))
    monitor.finish()
    return monitor.alarms


def judge(first: int, scans: int, engine: Engine, judge_one: Callable[[str, tuple[Alarm, ...]], None]) -> None:
    preprocessor = Preprocessor(engine.spec.preprocessing, SIG_SHAPE)
    total = NAV_SHAPE[0] * NAV_SHAPE[1]
    with SpotCheck(engine, preprocessor) as check:
        for seed in range(first, first + scans):
            camera = Camera(seed)
            begun = encode(camera, range(BEGIN), Drift(), engine, preprocessor)
            for name, drift in DRIFTS.items():
                rest = encode(camera, range(BEGIN, total), drift, engine, preprocessor)
                judge_one(name, watch(begun + rest, check, engine))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--engine", default="vae32")
    asked = parser.parse_args()
    found: dict[str, Counter[str]] = {name: Counter() for name in DRIFTS}
    delays: dict[str, list[int]] = {name: [] for name in DRIFTS}
    early: Counter[str] = Counter()

    def count(name: str, alarms: tuple[Alarm, ...]) -> None:
        early[name] += any(alarm.start < BEGIN for alarm in alarms)
        late = [alarm for alarm in alarms if alarm.start >= BEGIN]
        found[name][late[0].what if late else "nothing"] += 1
        delays[name] += [late[0].start - BEGIN] if late else []

    with open_engine(asked.engine, "cpu", EngineRequest(lanes=1, batch=BATCH)) as engine:
        judge(asked.first, asked.scans, engine, count)
    print("| drift | alarms | first named | after patterns | before it |\n|---|---|---|---|---|")
    for name, causes in found.items():
        told = asked.scans - causes["nothing"]
        named = ", ".join(f"{what} {number}" for what, number in causes.most_common() if what != "nothing")
        after = f"{np.median(delays[name]):.0f}" if delays[name] else ""
        print(f"| {name} | {told} of {asked.scans} | {named} | {after} | {early[name]} |")


if __name__ == "__main__":
    main()
