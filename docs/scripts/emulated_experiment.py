"""Maps of the emulated experiment above sections of the simulation to pre-train on: a picture of the docs.

    microrun simulate experiment lab
    microrun simulate sections --sobol 40 --out sim.h5
    python docs/scripts/emulated_experiment.py lab sim.h5 docs/images/emulated-experiment.png

Four conditions of the experiment; below each, the section of the simulation whose power and speed are nearest.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from microrun.runtime.maps.orientation_file import read_orientations
from microrun.runtime.maps.orientations import colour_orientations
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.part_sections import draw_colour_key
from microrun.runtime.sections.orientations import paint_orientations
from microrun.runtime.sections.section_set import SectionSet, read_sections

CONDITIONS = ((125.0, 0.8), (100.0, 0.5), (150.0, 0.7), (200.0, 0.6))  # W and m/s, from fine to coarse maps
SIDE_UM, BAR_UM = 200.0, 50.0
WATTS, M_S = 25.0, 0.1  # differences that count alike


def find_map(folder: Path, power_w: float, speed_m_s: float) -> Path:
    """First map across the tracks of a condition, of either table."""
    for table in ("labels.csv", "held_out.csv"):
        with (folder / table).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["plane"] == "across" and (float(row["power_w"]), float(row["speed_m_s"])) == (
                    power_w,
                    speed_m_s,
                ):
                    return folder / row["file"]
    raise SystemExit(f"{folder}: has no map across the tracks of {power_w:g} W and {speed_m_s:g} m/s")


def step_of(path: Path) -> float:
    """Step in µm that an .ang file states."""
    with path.open(encoding="latin-1") as file:
        return next(float(line.split(":")[1]) for line in file if line.startswith("# XSTEP"))


def show_map(axis: Axes, path: Path) -> float:
    """Show a map, black where it is not indexed; gives its step in µm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_orientations(path, "fcc")
    colours = colour_orientations(found.rotations, found.valid, "m-3m", "z")
    step = step_of(path)
    rows, cols = (side * step for side in found.phase.shape)
    axis.imshow(np.nan_to_num(colours), extent=(-cols / 2, cols / 2, rows, 0), interpolation="nearest")
    return step


def show_nearest(axis: Axes, sections: SectionSet, power_w: float, speed_m_s: float) -> tuple[float, float]:
    """Show the section whose condition is nearest, and say which that is."""
    apart = np.hypot((sections.power_w - power_w) / WATTS, (sections.speed_m_s - speed_m_s) / M_S)
    number = int(apart.argmin())
    rows, cols = (side * sections.step_um for side in sections.orientation.shape[1:])
    picture = paint_orientations(sections.orientation[number], sections.euler)
    axis.imshow(picture, extent=(-cols / 2, cols / 2, rows, 0), interpolation="nearest")
    return float(sections.power_w[number]), float(sections.speed_m_s[number])


def draw(folder: Path, sections: SectionSet) -> Figure:
    """Draw both rows, and the key of the colours beside them."""
    figure = Figure((11.4, 5.3), layout="constrained")
    axes = figure.subplots(2, len(CONDITIONS) + 1, width_ratios=[1] * len(CONDITIONS) + [0.6])
    for above, below, (power_w, speed_m_s) in zip(axes[0], axes[1], CONDITIONS, strict=False):
        step = show_map(above, find_map(folder, power_w, speed_m_s))
        above.set_title(f"{power_w:g} W, {speed_m_s:g} m/s; step {step:g} µm", fontsize=9)
        power, speed = show_nearest(below, sections, power_w, speed_m_s)
        below.set_title(f"{power:.0f} W, {speed:.2f} m/s", fontsize=9)
        for axis in (above, below):
            axis.set(xlim=(-SIDE_UM / 2, SIDE_UM / 2), ylim=(SIDE_UM, 0), xticks=[], yticks=[])
            axis.plot([-90, -90 + BAR_UM], [190, 190], color="white", lw=5, solid_capstyle="butt")
            axis.plot([-90, -90 + BAR_UM], [190, 190], color="black", lw=2.5, solid_capstyle="butt")
    axes[0, 0].set_ylabel("emulated experiment\n(black: not indexed)", fontsize=9)
    axes[1, 0].set_ylabel("simulation to pre-train on", fontsize=9)
    draw_colour_key(axes[0, -1])
    axes[1, -1].set_axis_off()
    said = f"Across the tracks,\nsurface at the top.\n{SIDE_UM:g} µm wide,\nbars: {BAR_UM:g} µm."
    axes[1, -1].text(0, 0.95, said, va="top", fontsize=9, transform=axes[1, -1].transAxes)
    return figure


def main() -> None:
    """Draw what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sections", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    save_figure(draw(options.folder, read_sections(options.sections)), options.out, dpi=96)


if __name__ == "__main__":
    main()
