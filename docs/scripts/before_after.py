"""Pictures of an older commit beside those of today, from the same files: sheets for docs/before-after.md.

    git worktree add OLD COMMIT
    python docs/scripts/before_after.py OLD DATA OUT

DATA holds the files that FIGURES name, as the commands of the docs make them; pictures go into OUT/before and
OUT/after, one for each name, and OUT/before-after-1.jpg and so on show them side by side. With --figures NAME,NAME only
these are drawn anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[2]
PACKAGES = ("kernels", "runtime", "training", "export", "cli")
WIDE, HIGH, MARGIN, HEAD = 500, 390, 12, 26  # pixels: a picture's place, around it, and above for its name
ROWS = 5  # pairs in a sheet
JPEG = 62  # quality


class Figure(NamedTuple):
    """A picture: what it is, the command that makes it, its file, and the older command where that differs.

    Without a command it takes long, and is taken from docs/images of either tree.
    """

    title: str
    command: str
    picture: str
    before: str | None = None


FIGURES = {
    "overview": Figure("maps: overview", "maps demo.latents.h5", "demo.overview.png"),
    "features": Figure("maps --features 17,30", "maps demo.latents.h5 --features 17,30", "demo.features.png"),
    "montage": Figure("maps --montage", "maps demo.latents.h5 --montage", "demo.montage.png"),
    "pca": Figure("maps --pca", "maps demo.latents.h5 --pca", "demo.pca.png"),
    "unfinished": Figure("maps of a scan that goes on", "maps growing.latents.h5", "growing.overview.png"),
    "analyse": Figure("analyse", "analyse demo.latents.h5", "demo.analysis.png"),
    "pick": Figure("analyse --pick 10,50", "", "analysis.png"),
    "physics": Figure("physics, latents beside", "", "physics.png"),
    "nickel": Figure("physics of nine real patterns", "", "real-nickel-maps.png"),
    "quality": Figure("physics --no-index", "physics scan.up2 --no-index", "scan.physics.png"),
    "patterns": Figure("generate-patterns", "generate-patterns --count 12 --out drawn.png", "drawn.png"),
    "pool": Figure("simulate meltpool", "", "meltpool.png"),
    "cube": Figure("render", "render ni.h5 --out a.png", "a.png"),
    "slices": Figure("render --slices", "render ni.h5 --slices --out a.png", "a.png"),
    "ipf": Figure(
        "render --ipf z", "render oriented.h5 --ipf z --out a.png", "a.png", "render oriented.h5 --out a.png"
    ),
    "ring": Figure("render, a part", "render ring.npy --out a.png", "a.png"),
    "printed": Figure("render, printed", "render part.h5 --dataset grain_id --out a.png", "a.png"),
    "values": Figure(
        "render --cmap inferno, values",
        "render pool.h5 --cmap inferno --out a.png",
        "a.png",
        "render pool.h5 --out a.png",
    ),
    "experiment": Figure("the emulated experiment", "", "emulated-experiment.png"),
    "part": Figure("simulate solidify", "", "part.png"),
}


def draw(names: list[str], data: Path, folder: Path, tree: Path, old: bool) -> None:
    """Draw figures with the code that is imported here, each in a folder of copies."""
    from microrun.cli.main import main as run_command

    for name in names:
        figure, place = FIGURES[name], folder / f"{name}.files"
        command = figure.before if old and figure.before else figure.command
        if not command:
            shutil.copy(tree / "docs" / "images" / figure.picture, folder / f"{name}.png")
            continue
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for path in data.iterdir():
            if path.name in command or path.stem == "scan.truth":
                shutil.copy(path, place)
        os.chdir(place)
        sys.argv = ["microrun", *command.split()]
        try:
            run_command()
        except SystemExit as stopped:
            print(f"{name}: {stopped.code or 'drawn'}", flush=True)
        except Exception:
            traceback.print_exc()
        made = place / figure.picture
        if made.exists():
            shutil.copy(made, folder / f"{name}.png")
        else:
            print(f"{name}: no {figure.picture} among {sorted(path.name for path in place.iterdir())}", flush=True)


def draw_both(old: Path, data: Path, out: Path, names: list[str]) -> None:
    """Draw all figures with either tree, in processes of their own."""
    for side, tree in (("before", old), ("after", ROOT)):
        (out / side).mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(str(tree / package) for package in PACKAGES)
        words = [sys.executable, __file__, str(old), str(data), str(out / side), "--draw", side, "--figures"]
        subprocess.run([*words, ",".join(names)], env=os.environ | {"PYTHONPATH": path}, check=True)


def make_sheets(out: Path) -> list[Path]:
    """Put pictures side by side, a few pairs a sheet."""
    names, sheets = list(FIGURES), []
    for number in range(0, len(names), ROWS):
        some = names[number : number + ROWS]
        sheet = Image.new("RGB", (2 * WIDE + 3 * MARGIN, MARGIN + len(some) * (HIGH + HEAD + MARGIN)), "white")
        for row, name in enumerate(some):
            top = MARGIN + row * (HIGH + HEAD + MARGIN)
            for column, side in enumerate(("before", "after")):
                _put(
                    sheet,
                    out / side / f"{name}.png",
                    (MARGIN + column * (WIDE + MARGIN), top),
                    f"{FIGURES[name].title}: {side}",
                )
        sheets.append(out / f"before-after-{number // ROWS + 1}.jpg")
        sheet.save(sheets[-1], quality=JPEG, optimize=True)
    return sheets


def _put(sheet: Image.Image, path: Path, corner: tuple[int, int], said: str) -> None:
    """Put a picture into its place, as large as it fits, below what it is."""
    pen = ImageDraw.Draw(sheet)
    pen.text(corner, said, fill="black", font=ImageFont.load_default(15))
    left, top = corner[0], corner[1] + HEAD
    pen.rectangle((left, top, left + WIDE, top + HIGH), outline="lightgray")
    if not path.exists():
        pen.text((left + 20, top + 20), "there was none", fill="gray", font=ImageFont.load_default(15))
        return
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((WIDE - 4, HIGH - 4), Image.Resampling.LANCZOS)
    sheet.paste(small, (left + (WIDE - small.width) // 2, top + (HIGH - small.height) // 2))


def main() -> None:
    """Draw with both trees, or, as they call it, with the one that is imported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--figures", default=",".join(FIGURES))
    parser.add_argument("--draw", choices=("before", "after"), help="used by itself")
    options = parser.parse_args()
    names = options.figures.split(",")
    if options.draw:
        old = options.draw == "before"
        draw(names, options.data.resolve(), options.out.resolve(), options.old.resolve() if old else ROOT, old)
        return
    draw_both(options.old.resolve(), options.data.resolve(), options.out.resolve(), names)
    print(*make_sheets(options.out.resolve()), sep="\n")


if __name__ == "__main__":
    main()
