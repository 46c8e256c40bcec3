"""Sections of simulated and of grown printed metal, at one scale, for docs/printed-grains.md.

microrun simulate am am.h5 --size 64 --inside --pool 24x14x9 --mobile-zone 8 --hatch 10 --layer 4 --seed 900
microrun generate --engine grains-am --size 64 --seed 1 --out grown.h5
python docs/scripts/printed_grains.py am.h5 grown.h5 --out docs/images/printed-grains.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from microrun.runtime.volumes.cleaning import absorb_grains
from microrun.runtime.volumes.label_files import read_labels
from microrun.runtime.volumes.tally import split_pieces

SPECK = 27  # smaller pieces are absorbed, as `microrun generate` does
SECTIONS = {"across the tracks": 2, "along a track": 1, "from above": 0}


def draw(files: Sequence[Path], names: Sequence[str], out: Path) -> None:
    """Draw three middle sections of each volume, z up where it is seen."""
    figure = Figure((6.6, 2.3 * len(files)), layout="constrained")
    axes = figure.subplots(len(files), len(SECTIONS), squeeze=False)
    rng = np.random.default_rng(4)
    for row, file, name in zip(axes, files, names, strict=True):
        labels = split_pieces(next(iter(read_labels(file))).labels)
        absorb_grains(labels, int(labels.max()) + 1, SPECK)
        colours = rng.uniform(0.25, 1, (int(labels.max()) + 1, 3))
        for axis, (title, cut) in zip(row, SECTIONS.items(), strict=True):
            section = labels.take(labels.shape[cut] // 2, axis=cut)
            axis.imshow(colours[section], origin="lower", interpolation="nearest")
            axis.set_title(f"{name}, {title}", fontsize=8)
            axis.set_axis_off()
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("simulated", type=Path)
    parser.add_argument("grown", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/printed-grains.png"))
    arguments = parser.parse_args()
    draw([arguments.simulated, arguments.grown], ["simulated", "grown"], arguments.out)
