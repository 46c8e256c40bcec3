"""What `encode --pc` is worth: bands and orientations of decoded patterns, far from the model's pattern centre.

    python tests/benchmarks/pattern_centre_quality.py

simulates 200 patterns of nickel for each pattern centre, encodes and decodes them with and without it, and prints a
table. Bands are correlated with those of the patterns without noise, over the pixels that both ways show.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.encoding.decode import decode_latents
from microrun.runtime.encoding.encode_scan import encode_scan
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.patterns.bands import band_correlation
from microrun.runtime.patterns.pattern_centre import Centre
from microrun.runtime.progress import finish
from microrun.runtime.scans.up_source import FileSource
from microrun.training.simulate.patterns import Exposure, PatternSimulator, blur
from microrun.training.simulate.sample import Recipe, random_sample
from microrun.training.simulate.scan import simulate_scan

CENTRES = ((0.50, 0.70, 0.62), (0.42, 0.79, 0.62), (0.42, 0.70, 0.50), (0.50, 0.79, 0.50), (0.45, 0.75, 0.42))
MODELS, NAV_SHAPE, SIDE, BLUR_PX, RIGHT_DEG = ("vae32", "vae64"), (10, 20), 120, 0.8, 5.0
SAMPLE = random_sample(NAV_SHAPE, 4242, Recipe(blur_px=(BLUR_PX, BLUR_PX), shading=0.018))
ROTATIONS: Float64 = SAMPLE.rotations[SAMPLE.cell.ravel()]


def round_trip(scan: Path, model: str, centre: Centre | None) -> Float32:
    """Encode and decode a scan; (n, H, W)."""
    latents, decoded, request = scan.with_suffix(".h5"), scan.with_suffix(".decoded.up2"), EngineRequest("f32")
    for path in (latents, decoded):
        path.unlink(missing_ok=True)
    asked = EncodeRequest(scan, latents, pattern_centre=centre)
    with open_engine(model, "cpu", request) as encoder, encode_scan(asked, encoder) as run:
        list(run)
    with open_engine(f"{model}.decoder", "cpu", request) as decoder, open_latents(latents) as opened:
        finish(decode_latents(opened, decoder, decoded))
    source = FileSource(decoded)
    patterns = np.empty((source.scan.total, SIDE, SIDE), np.uint16)
    source.read_patterns(np.arange(source.scan.total), patterns)
    return patterns.astype(np.float32)


def judge(patterns: Float32, clean: Float32, keep: Float32, indexer: Indexer) -> str:
    """Median correlation of the bands, and share of orientations that are right."""
    bands = band_correlation(patterns, clean, keep)
    found = indexer.index(patterns)
    right = found.indexed & (misorientation_angles(found.rotations, ROTATIONS, "fcc") < RIGHT_DEG)
    return f"{np.median(bands):.2f} | {right.mean():.1%}"


def measure(folder: Path, centre: Centre) -> None:
    """Print the rows of one pattern centre."""
    scan, simulator = folder / "scan.up2", PatternSimulator((SIDE, SIDE), centre)
    finish(simulate_scan(scan, SAMPLE, simulator, Exposure(electrons=9_600, gain=3.1), seed=4242))
    clean = np.stack([blur(pattern, BLUR_PX) for pattern in simulator.project(ROTATIONS)])
    indexer = Indexer(Geometry(centre), (SIDE, SIDE), (SIDE, SIDE))
    for model in MODELS:
        plain, warped = (round_trip(scan, model, asked) for asked in (None, centre))
        keep = (np.ptp(plain, axis=0) > 0) & (np.ptp(warped, axis=0) > 0)
        without, using = (judge(patterns, clean, keep, indexer) for patterns in (plain, warped))
        shown = keep.sum() / (np.ptp(plain, axis=0) > 0).sum()
        x, y, z = centre
        print(f"| {x:.2f}, {y:.2f}, {z:.2f} | {model} | {without} | {using} | {shown:.0%} |", flush=True)


def main() -> None:
    """Measure all."""
    warnings.simplefilter("ignore")
    print("| pattern centre | model | bands without | right without | bands with `--pc` | right with | shown |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for centre in CENTRES:
            measure(Path(folder), centre)


if __name__ == "__main__":
    main()
