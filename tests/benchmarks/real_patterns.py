"""What encoders make of real patterns: bands, right orientations, and a picture of them side by side.

    python tests/benchmarks/real_patterns.py OUT.png MODEL... [--more NAME,STRUCTURE,X,Y,Z,FILE...] [--warp]

judges models, by name or .onnx file with the decoder beside it, on the nine real patterns of nickel, and on others: a
kikuchipy h5ebsd file with its background, or pictures whose background is subtracted, with structure and pattern centre
in EDAX's convention; X = fit finds the centre. Right is an orientation within 5° of that of the pattern itself. --warp
warps patterns to the centre that a model knows, as `encode --pc` does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import find_decoder_of, open_engine
from microrun.runtime.maps.indexing import Geometry, Indexer, fit_pattern_centre
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.spec import Preprocessing

NICKEL = Path(__file__).parents[1] / "data" / "nickel_ebsd_small.h5"
SIDE, RIGHT_DEG = (120, 120), 5.0


Centre = tuple[float, float, float]


class Recorded(NamedTuple):
    """Patterns of one camera and crystal; the background is None where it is subtracted already."""

    name: str
    structure: str
    centre: Centre | None
    raw: np.ndarray
    background: np.ndarray | None

    def prepare(self, preprocessing: Preprocessing, warp: Warp | None = None) -> tuple[Float32, np.ndarray]:
        """As `encode --background FILE` does."""
        preprocessor = Preprocessor(preprocessing, self.raw.shape[1:], warp=warp)
        out = np.empty((len(self.raw), *SIDE), np.float32)
        background = np.zeros(SIDE, np.float32)
        if self.background is not None:
            background = preprocessor.bin_image(self.background)
        preprocessor.prepare(self.raw, background, out, np.empty((len(out), 2), np.float32), np.empty(len(out), bool))
        return out, preprocessor.pixel_keep


def read(name: str, structure: str, centre: Centre | None, files: list[Path]) -> Recorded:
    if files[0].suffix == ".h5":
        with h5py.File(files[0]) as file:
            raw, background = file["Scan 1/EBSD/Data/patterns"][()], file["Scan 1/EBSD/Header/static_background"][()]
        return Recorded(name, structure, centre, raw.reshape(-1, *raw.shape[-2:]), background)
    raw = np.stack([np.array(Image.open(path)) for path in files])
    return Recorded(name, structure, centre, raw, None)


def parse(text: str) -> Recorded:
    name, structure, *rest = text.split(",")
    centre = None if rest[0] == "fit" else (float(rest[0]), float(rest[1]), float(rest[2]))
    return read(name, structure, centre, [Path(path) for path in (rest[1:] if centre is None else rest[3:])])


def judge(recorded: Recorded, model: str, centre: Centre, warped: bool) -> tuple[Float32, Float32, str]:
    """Patterns, what the model gives back, both NaN outside the mask, and a line."""
    request = EngineRequest("f32")
    with open_engine(model, "cpu", request) as encoder, open_engine(find_decoder_of(model), "cpu", request) as decoder:
        known = encoder.spec.domain
        assert known is not None or not warped
        warp = Warp(centre, known.centre) if known is not None and warped else None
        patterns, keep = recorded.prepare(encoder.spec.preprocessing, warp)
        given = run_all(decoder, run_all(encoder, patterns[:, None]))[:, 0] * keep
    bands = band_correlation(given, smooth(patterns, keep), keep)
    seen, sig_shape = (warp.model, SIDE) if warp else (centre, recorded.raw.shape[1:])
    indexer = Indexer(Geometry(seen, recorded.structure), sig_shape, SIDE)
    itself, found = indexer.index(patterns), indexer.index(given)
    angles = misorientation_angles(found.rotations, itself.rotations, recorded.structure)
    right = found.indexed & itself.indexed & (angles < RIGHT_DEG)
    median = f"{np.median(angles[right]):.2f}°" if right.any() else ""
    line = f"| {recorded.name} | {model} | {np.median(bands):.2f} | {right.sum()} of {len(right)} | {median} |"
    return np.where(keep, patterns, np.nan), np.where(keep, given, np.nan), line


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--more", action="append", default=[])
    parser.add_argument("--warp", action="store_true")
    given = parser.parse_args()
    sets = [read("nickel", "fcc", (0.4215, 0.7850, 0.5020), [NICKEL]), *map(parse, given.more)]
    shown: list[list[Float32]] = [[] for _ in range(len(given.models) + 1)]
    titles: list[str] = []
    print("| patterns | model | bands | right | median of the right |\n|---|---|---|---|---|")
    for recorded in sets:
        centre = recorded.centre
        if centre is None:
            start = Geometry((0.5, 0.75, 0.55), recorded.structure)
            centre = fit_pattern_centre(recorded.prepare(Preprocessing())[0], start, recorded.raw.shape[1:])
        places = [0, 4, 8] if len(recorded.raw) == 9 else list(range(min(3, len(recorded.raw))))
        for row, model in enumerate(given.models, 1):
            patterns, made, line = judge(recorded, model, centre, given.warp)
            print(line, flush=True)
            shown[row] += list(made[places])
        shown[0] += list(patterns[places])
        titles += [recorded.name, *[""] * (len(places) - 1)]
    figure = Figure((1.5 * len(shown[0]), 1.6 * len(shown)), layout="constrained")
    for row, name in enumerate(("as prepared", *(Path(model).stem for model in given.models))):
        for column, image in enumerate(shown[row]):
            axis = figure.add_subplot(len(shown), len(shown[0]), row * len(shown[0]) + column + 1)
            axis.imshow(image, cmap="gray")
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(titles[column], fontsize=9, loc="left")
            if column == 0:
                axis.set_ylabel(name, fontsize=9)
    figure.savefig(given.out, dpi=110)


if __name__ == "__main__":
    main()
