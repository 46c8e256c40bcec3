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
from microrun.training.simulate.patterns import Exposure, PatternSimulator, blur
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
        Of all that is under the beam: 1 is titanium carbide.
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
        mean = self.exposure.gain * self.exposure.electrons * self.exposure.background(SIG_SHAPE)
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
            background_centre=(x + share * drift.shift, y),
        )
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, number]))
        shade = np.float32(1 + sample.shading[cell, 0])
        pattern = now.expose(signal, now.background(SIG_SHAPE) * shade, rng)
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
            simulator = PatternSimulator(SIG_SHAPE, (CENTRE[0] + centre, *CENTRE[1:]))
            self._sharp[phase, centre] = simulator.project(self.sample.rotations, phase=phase)
        return self._sharp[phase, centre]


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
