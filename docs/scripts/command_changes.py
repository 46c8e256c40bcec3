"""With which changes `run_commands.py` runs commands of the docs that take long, or do not end by themselves."""

from __future__ import annotations

import re
from typing import NamedTuple


class Change(NamedTuple):
    """What is put in place of an option, or at the end of commands that a pattern fits."""

    commands: str
    old: str
    new: str


CHANGES = (
    Change("train vae", r"--hours \S+", "--hours 0.01"),
    Change("train vae (?!.*--hours)", "", "--hours 0.01"),
    Change("train diffusion", r"--hours \S+", "--steps 2"),
    Change("train diffusion (?!.*--(hours|steps))", "", "--steps 2"),
    Change("train diffusion.*--batch 64", "--batch 64", "--batch 4"),
    Change("train sections.*--steps", r"--steps \d+", "--steps 4"),
    Change("train sections (?!.*--steps)", "", "--steps 4"),
    Change("train sections sim.h5", "", "--power 100:200 --speed 0.5:1.0"),
    Change("generate --size 64 --seed 7", "--size 64", "--size 32"),
    Change("generate --size 64x128x256", "--size 64x128x256", "--size 32x40x48"),
    Change("generate --stl", "--size 128", "--size 48"),
    Change("generate --size 64 --periodic", "--size 64", "--size 40"),
    Change("generate --size 64x96x96", "--size 64x96x96", "--size 32x40x40"),
    Change("generate --size 72", "--size 72", "--size 40"),
    Change("generate .*--size-um", r"--size-um \d+", "--size-um 60"),
    Change(r"generate --engine \w+.onnx", "--size 64", "--size 32"),
    Change(r"generate (?!.*--(preset|dry-run))", "", "--preset fast"),
    Change(r"generate (--known|--mean|--engine|--size (64x96x96|72|512)|--stl part)", "", "--timesteps 10"),
    Change("generate .*--dask", "--size 512", "--size 32"),
    Change(".*--dask", "tcp://HOST:8786", "tcp://127.0.0.1:8786"),
    Change("generate .*--dask", "/shared/big.h5", "big.h5"),
    Change("simulate potts .*--count", r"--count \d+", "--count 2"),
    Change("simulate potts .*--size (96|100)", r"--size \d+", "--size 48"),
    Change("simulate potts (?!.*--size)", "", "--size 48"),
    Change("simulate am .*--count 10", "--size 64 --count 10", "--size 40 --count 2"),
    Change("simulate solidify", "--layers 8 --tracks 3", "--layers 5 --tracks 3 --length 60"),
    Change("simulate meltpool .*--fit", "", "--cell 8"),
    Change("simulate meltpool .*--field flow", "", "--cell 8"),
    Change("simulate sections .*--sobol", "--sobol 40", "--sobol 2"),
    Change("simulate experiment", "", "--cases cases.csv --maps 2"),
    Change("simulate scan other", r"--grid \S+", "--grid 24x24"),
    Change("evaluate .*--patterns", r"--patterns \d+", "--patterns 100"),
    Change("evaluate (?!.*--patterns)", "", "--patterns 100"),
    Change("sample .*--engine", r"--count \d+", "--count 4"),
    Change(".*--region", "0:50,100:160", "0:20,20:40"),
    Change(".*--grid 200x300", "--grid 200x300", "--grid 12x16"),
)
STOPPED = 130  # exit code after Ctrl-C
ENDED = {  # what serves until Ctrl-C, and after how many seconds it comes
    r"serve --engine": 10,
    r"view ": 10,
}
NEEDS = {  # what no machine without it can do; such commands run all the same, and what they say is shown
    r"encode .*\.plan": "an NVIDIA card",
    r"encode .*--build": "an NVIDIA card",
}
WITH_MASTERS = r"simulate scan iron\.up2 --phase"  # the page says to name the folder first
ALTERNATIVES = {  # what lies there from before, where a page shows another way to make it
    ("convert", "convert scan.h5oina"): ("scan.up2",),
    ("sections-measures", "convert labels.csv"): ("experiment.h5",),
    ("solidification", "simulate sections --cases"): ("sim.h5", "sim.cases"),
    ("view", "encode scan.up2 --follow --view"): ("scan.latents.h5",),
    ("README", "encode scan.up2 --follow"): ("scan.latents.h5",),
    ("masters", "simulate scan iron.up2 --master"): ("iron.up2", "iron.truth.npz"),
    ("own-model", "train vae a.up2 b.up2 --latent 128"): ("vae-run",),
    ("own-model", "evaluate scan.up2 --engine vae32 --engine tuned"): ("evaluation",),
    ("real-cameras", "encode scan.up2 --engine silicon"): ("scan.latents.h5",),
    ("real-cameras", "train vae --from"): ("tuned",),
    ("real-cameras", "train vae --distil vae32 --phase"): ("taught",),
    ("real-cameras", "train vae scan.up2 --distil"): ("taught",),
}


def change(command: str) -> tuple[str, list[str]]:
    """The command as it is run, and what is changed, in words."""
    run, said = command, []
    for commands, old, new in CHANGES:
        found = re.search(old, run) if re.match(commands, command) else None
        if found is None:
            continue
        run = f"{run} {new}" if not old else run.replace(found[0], new)
        said.append(f"`{new}`" if not old else f"`{new}` for `{found[0]}`")
    return run, said


def with_masters(command: str) -> bool:
    """Whether the page says to name the folder of master patterns before the command."""
    return bool(re.match(WITH_MASTERS, command))


def has_run(command: str, code: int | None) -> bool:
    """Whether an exit code is that of a command that did what it shall, or was stopped where it serves."""
    return code == 0 or (code == STOPPED and first(ENDED, command) is not None)


def first(table: dict[str, int] | dict[str, str], command: str) -> int | str | None:
    """Entry of the first pattern that fits a command."""
    return next((entry for pattern, entry in table.items() if re.match(pattern, command)), None)
