"""Conventional maps beside latent maps, of a simulated scan and of nine real patterns: pictures of the docs.

    python docs/scripts/conventional_maps.py FOLDER

runs the commands below in FOLDER, which keeps the scans, and puts the pictures into docs/images.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[2]
IMAGES, NICKEL = ROOT / "docs" / "images", ROOT / "tests" / "data" / "nickel_ebsd_small.h5"
COMMANDS = (
    "simulate scan small.up2 --grains 20 --particles 12 --seed 4 --overwrite",
    "encode small.up2 --overwrite",
    "physics small.up2 --latents small.latents.h5 --overwrite",
    "encode nickel.h5 --background background.npy --overwrite",
    "physics nickel.h5 --background background.npy --latents nickel.latents.h5 --overwrite",
)
PICTURES = {"small.physics.png": "physics.png", "nickel.physics.png": "real-nickel-maps.png"}


def main() -> None:
    """Run the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(NICKEL, folder / "nickel.h5")
    with h5py.File(NICKEL) as file:  # nine patterns of two grains: their mean holds their bands
        np.save(folder / "background.npy", file["Scan 1/EBSD/Header/static_background"][()])
    for command in COMMANDS:
        subprocess.run([sys.executable, "-m", "microrun.cli.main", *command.split()], cwd=folder, check=True)
    for made, picture in PICTURES.items():
        shutil.copyfile(folder / made, IMAGES / picture)


if __name__ == "__main__":
    main()
