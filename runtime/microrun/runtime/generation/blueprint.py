"""All that a volume is a function of, as it is kept beside its blocks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.generation.recipe import PRESETS, Order, VolumeRecipe
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.json_text import check_fields, parse_object

HASHED = {"engine": "denoiser", "part": "part", "known": "set of known grains"}  # what a blueprint holds by its hash
# Counts up whenever tiling, noise, steps or decoding change, so that no folder is gone on with in another way.
METHOD = 2


@dataclass(frozen=True)
class Blueprint(VolumeRecipe):
    """All that a volume is a function of.

    Parameters
    ----------
    shape, seed, periodic, grain_voxels
        As of `VolumeRecipe`.
    order, sampling
        Of the blocks, and how each is drawn: as settled by the denoiser.
    engine, computed
        SHA-256 of the denoiser's file, and what computes it: library, device and precision round differently.
    part
        SHA-256 of the part's mask; empty without.
    known
        SHA-256 of the colours of known grains, which blocks are drawn beside; empty without.
    method
        `METHOD` of the version that began the volume.
    """

    order: Order = "isotropic"
    sampling: Sampling = PRESETS["default"]
    engine: str = dataclasses.field(kw_only=True)
    computed: str = dataclasses.field(kw_only=True)
    part: str = dataclasses.field(default="", kw_only=True)
    known: str = dataclasses.field(default="", kw_only=True)
    method: int = dataclasses.field(default=METHOD, kw_only=True)

    @classmethod
    def of(
        cls,
        recipe: VolumeRecipe,
        sampling: Sampling,
        part: Mask | None,
        info: EngineInfo,
        known: NDArray[np.int8] | None = None,
    ) -> Blueprint:
        """The blueprint of a recipe, a part and the colours of known grains, drawn in one way by an engine."""
        kept = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(VolumeRecipe)}
        kept["sampling"] = sampling
        hashed = "" if part is None else hash_mask(part)
        coloured = "" if known is None else hash_colours(known)
        return cls(**kept, engine=info.sha256, computed=name_computed(info), part=hashed, known=coloured)

    def difference(self, other: Blueprint) -> str:
        """Name what differs, with both values where they tell a reader something; empty if nothing does."""
        mine, theirs = self._facts(), other._facts()
        return ", ".join(
            f"another {HASHED[name]}" if name in HASHED else f"{name} {theirs[name]}, not {value}"
            for name, value in mine.items()
            if value != theirs[name]
        )

    def _facts(self) -> dict[str, Any]:
        facts = dataclasses.asdict(self) | {"periodic": self.periodic or "nowhere"}
        sampling: dict[str, Any] = facts.pop("sampling")
        return sampling | facts

    def to_json(self) -> str:
        """Encode as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Blueprint:
        """Decode what `to_json` made; one of `UNREADABLE` or MicrorunError if it is something else."""
        values = parse_object(text)
        z, y, x = values.pop("shape")
        made = cls((z, y, x), sampling=Sampling(**values.pop("sampling")), **values)
        check_fields(made)
        return made


def name_computed(info: EngineInfo) -> str:
    """What an engine computes with, for a blueprint; a card's results may depend on how many samples it computes."""
    batch = "" if info.device == "cpu" else f", {info.batch} at once"
    return f"{info.library} on {info.device} in {info.precision}{batch}"


def hash_colours(colours: NDArray[np.int8]) -> str:
    """SHA-256 of (z, y, x) colours, in hexadecimal."""
    digest = hashlib.sha256(str(colours.shape).encode())
    for plane in colours:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def hash_mask(mask: Mask) -> str:
    """SHA-256 of a mask, in hexadecimal."""
    digest = hashlib.sha256(str(mask.shape).encode())
    digest.update(np.packbits(mask).data)
    return digest.hexdigest()
