"""The state of a part after each track, in an HDF5 file that is replaced as a whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from microrun.runtime.errors import OutputError
from microrun.runtime.files.hdf5 import hdf5_errors, open_hdf5
from microrun.runtime.files.output import written_beside
from microrun.runtime.json_text import UNREADABLE, parse_object
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.solidify.grains import Grains
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.track import Tally

FORMAT = "microrun part on its way 1"


@dataclass
class Site:
    """A part on its way.

    Parameters
    ----------
    grains
        So far.
    tracks_done
        Tracks that are finished.
    next_id
        Of the next new grain.
    tally
        Of the finished tracks.
    """

    grains: Grains
    tracks_done: int = 0
    next_id: int = 0
    tally: Tally = field(default_factory=Tally)


def identify(pool: MovingField, plan: Plan, laws: Laws) -> str:
    """SHA-256 of all that a part follows from, in hexadecimal.

    Parameters
    ----------
    pool, plan, laws
        As for `build_part`.
    """
    settings = [dataclasses.asdict(part) for part in (pool.process, pool.material, plan, laws)]
    digest = hashlib.sha256(json.dumps([settings, pool.step_um, pool.laser_um], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(pool.temperature).data)
    return digest.hexdigest()


def write_checkpoint(path: Path, site: Site, identity: str) -> None:
    """Write the state after a track.

    Parameters
    ----------
    path
        The file to make or replace.
    site
        The state.
    identity
        From `identify`.

    Raises
    ------
    OutputError
        If it cannot be written; that of the track before is still valid.
    """
    with written_beside(path) as beside, hdf5_errors(), h5py.File(beside, "w") as file:
        file.attrs.update(format=FORMAT, identity=identity, tracks_done=site.tracks_done, next_id=site.next_id)
        file.attrs["tally"] = json.dumps(dataclasses.asdict(site.tally))
        file["orientation"], file["grain_id"] = site.grains.orientation, site.grains.grain_id


def read_checkpoint(path: Path, identity: str) -> Site:
    """Read the state that a run has left.

    Parameters
    ----------
    path
        From `write_checkpoint`.
    identity
        From `identify`.

    Raises
    ------
    OutputError
        If it is damaged, no such file, or that of another part.
    """
    advice = "remove it to begin anew, or choose another name for the part"
    try:
        with open_hdf5(path) as file:
            if file.attrs["format"] != FORMAT or file.attrs["identity"] != identity:
                raise OutputError(f"{path}: is left of a part with other settings, or of another program; {advice}")
            grains = Grains(file["orientation"][()], file["grain_id"][()])
            tally = Tally(**parse_object(file.attrs["tally"]))
            return Site(grains, int(file.attrs["tracks_done"]), int(file.attrs["next_id"]), tally)
    except (OSError, *UNREADABLE, RuntimeError) as error:
        raise OutputError(f"{path}: the state of a part cannot be read ({error}); {advice}") from None
