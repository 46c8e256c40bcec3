"""How like real patterns simulated ones are: power spectra and residues, against the nine real patterns of nickel.

    python tests/benchmarks/camera_realism.py [OUT.png]

fits to each real pattern the simulated bands of its orientation, and compares what is left, and the spectra, with the
same of simulated patterns: of the camera simulator with conditions as it draws them, and of patterns with white noise
alone. A picture shows both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.patterns.bands import high_pass, low_pass
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.spec import Preprocessing
from microrun.training.simulate.camera.bands import View, project
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import Material, load_material
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator

REAL = Path(__file__).parents[1] / "data" / "nickel_ebsd_small.h5"
CENTRE = (0.4215, 0.7850, 0.5020)
HERE = tuple((value, value) for value in CENTRE)
PLAIN = Conditions(
    pattern_centre=HERE, pixels=(60,), even=1, blotches=0, brightness=(0, 0), high_passed=0, shadowed=0, mixed=0,
    clipped=0, gamma=0, bad_pixels=0, noise=(1.6, 1.6), excess_deficiency=0, fine_detail=(1, 1), flanks=(1, 1),
    saturation=(0, 0), correlated_noise=0,
)  # fmt: skip
USUAL = Conditions(pattern_centre=HERE, pixels=(60,), shadowed=0, mixed=0)


def real_patterns() -> Float32:
    """The nine, prepared as a new model has it."""
    with h5py.File(REAL) as file:
        raw, background = file["Scan 1/EBSD/Data/patterns"][()], file["Scan 1/EBSD/Header/static_background"][()]
    raw = raw.reshape(-1, *raw.shape[-2:])
    preprocessor = Preprocessor(Preprocessing(scale_background=True), raw.shape[1:])
    out = np.empty((len(raw), 120, 120), np.float32)
    background = preprocessor.bin_image(background)
    preprocessor.prepare(raw, background, out, np.empty((len(raw), 2), np.float32), np.empty(len(raw), bool))
    return out


def spectrum(patterns: Float32) -> Float64:
    """Mean power by frequency, in cycles per 60 px pattern, each pattern with standard deviation 1; (30,)."""
    small, keep = patterns.reshape(-1, 60, 2, 60, 2).mean(axis=(2, 4)), KEEP[::2, ::2]
    small = np.where(keep, small - small[:, keep].mean(axis=1)[:, None, None], 0)
    small = small / small[:, keep].std(axis=1)[:, None, None]
    power = (np.abs(np.fft.fft2(small * np.outer(np.hanning(60), np.hanning(60)))) ** 2).mean(axis=0)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(60, 1 / 60), np.fft.fftfreq(60, 1 / 60))).round().astype(int)
    return np.bincount(radius.ravel(), power.ravel())[:30] / np.bincount(radius.ravel())[:30]


def residues(patterns: Float32, rotations: Float64, nickel: Material) -> dict[str, Float64]:
    """What the simulated bands leave: brightness and the rest over the bands, and the kurtosis of the rest; (n,)."""
    found: dict[str, list[float]] = {"brightness / bands": [], "rest / bands": [], "kurtosis": [], "grain": []}
    for pattern, rotation in zip(patterns, rotations, strict=True):
        bands = gaussian_filter(project(nickel.masters[0], View(rotation, np.array(CENTRE), 70.0), 120), 1.0)
        passed, wanted = (high_pass(image[None], KEEP)[0][KEEP] for image in (bands, pattern))
        gain = (passed * wanted).sum() / (passed**2).sum()
        smooth = low_pass(pattern[None], KEEP, 12.0)[0]
        rest = np.where(KEEP, pattern - smooth - gain * high_pass(bands[None], KEEP)[0], 0)
        coarse = gaussian_filter(rest, 2.0)[KEEP].std() / rest[KEEP].std()  # 0.14 for white noise of 2×2 px
        spread = abs(gain) * passed.std()
        values = (smooth[KEEP].std() / spread, rest[KEEP].std() / spread, _kurtosis(rest[KEEP]), coarse)
        for name, value in zip(found, values, strict=True):
            found[name].append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def _kurtosis(values: Float32) -> float:
    centred = values - values.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3)


def main(out: Path) -> None:
    from matplotlib.figure import Figure

    nickel, real = load_material("nickel", (20,)), real_patterns()
    made = {
        name: CameraSimulator([nickel], [1], how).make(0, 90) for name, how in (("camera", USUAL), ("plain", PLAIN))
    }
    turned = Indexer(Geometry(CENTRE), (120, 120), (120, 120)).index(real).rotations
    sets = {"real": (real, turned)} | {name: (one.patterns, one.rotations) for name, one in made.items()}
    print(f"{'10 / 50 / 90 %':<10}" + "".join(f"{name:>24}" for name in residues(*sets["real"], nickel)))
    for name, (patterns, rotations) in sets.items():
        quantiles = [np.quantile(values, (0.1, 0.5, 0.9)) for values in residues(patterns, rotations, nickel).values()]
        print(f"{name:<10}" + "".join(f"{' / '.join(f'{value:.2f}' for value in row):>24}" for row in quantiles))
    figure = Figure((10, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    for row, name in enumerate(("real", "camera")):
        for column in range(3):
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(np.where(KEEP, sets[name][0][3 * column], np.nan), cmap="gray")
            axis.set_axis_off()
            if column == 1:
                axis.set_title({"real": "real nickel", "camera": "simulated"}[name], fontsize=9)
    axis = figure.add_subplot(grid[:, 3:])
    styles = {"real": ("black", 2), "camera": ("tab:blue", 1.5), "plain": ("tab:orange", 1.5)}
    for name, (colour, width) in styles.items():
        powers = np.array([spectrum(pattern[None]) for pattern in sets[name][0]])
        label = {"real": "real", "camera": "camera simulator, 10 to 90 %", "plain": "bands and white noise"}[name]
        axis.semilogy(np.median(powers, axis=0), color=colour, lw=width, label=label)
        if name == "camera":
            axis.fill_between(range(30), *np.quantile(powers, (0.1, 0.9), axis=0), color=colour, alpha=0.2)
    axis.set_xlabel("cycles per pattern")
    axis.set_ylabel("power")
    axis.legend(fontsize=8)
    figure.savefig(out, dpi=110)
    print(f"wrote {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("camera.png"))
