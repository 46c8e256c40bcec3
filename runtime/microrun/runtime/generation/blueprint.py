"""All that a volume is a function of, as it is kept beside its blocks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from microrun.runtime.array_types import Mask
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import BLOCK, Tiling, tile_anisotropic, tile_isotropic
from microrun.runtime.volumes.volume import LARGEST, Shape

Order = Literal["isotropic", "anisotropic"]
TILINGS = {"isotropic": tile_isotropic, "anisotropic": tile_anisotropic}
HASHED = {"engine": "denoiser", "part": "part"}  # what a blueprint holds by its hash
METHOD = 1  # counts up whenever tiling, noise or steps change, so that no folder is gone on with in another way


@dataclass(frozen=True)
class Blueprint:
    """All that a volume is a function of.

    Parameters
    ----------
    shape
        (z, y, x) in voxels, without a part 32 or more each.
    seed
        Of the noise.
    order
        Of the blocks.
    sampling
        How each block is drawn.
    engine, computed
        SHA-256 of the denoiser's file, and what computes it: library, device and precision round differently.
    part
        SHA-256 of the part's mask; empty without.
    method
        `METHOD` of the version that began the volume.
    """

    shape: Shape
    seed: int
    order: Order
    sampling: Sampling
    engine: str
    computed: str
    part: str = ""
    method: int = METHOD

    def __post_init__(self) -> None:
        if self.order not in TILINGS:
            raise VolumeError(f"order must be one of {', '.join(TILINGS)}; got {self.order!r}")
        if not 0 <= self.seed < 1 << 64:
            raise VolumeError(f"seed must be 0 to 2^64 - 1; got {self.seed}")

    def difference(self, other: Blueprint) -> str:
        """Name what differs, with both values where they tell a reader something; empty if nothing does."""
        mine, theirs = self._facts(), other._facts()
        return ", ".join(
            f"another {HASHED[name]}" if name in HASHED else f"{name} {theirs[name]}, not {value}"
            for name, value in mine.items()
            if value != theirs[name]
        )

    def _facts(self) -> dict[str, Any]:
        facts = dataclasses.asdict(self)
        sampling: dict[str, Any] = facts.pop("sampling")
        return sampling | facts

    def to_json(self) -> str:
        """Encode as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Blueprint:
        """Decode what `to_json` made; ValueError, TypeError, KeyError or MicrorunError if it is something else."""
        values: Any = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError("no JSON object")
        z, y, x = values.pop("shape")
        return cls((z, y, x), sampling=Sampling(**values.pop("sampling")), **values)


def tile_volume(order: Order, shape: Shape, part: Mask | None) -> Tiling:
    """Tile a volume; around a part that is thinner than a block there is room for one.

    Raises
    ------
    VolumeError
        If the volume is smaller than a block or far too large, or the mask does not fit or is empty.
    """
    if math.prod(shape) > LARGEST:
        raise VolumeError(f"a volume must have at most {LARGEST:,} voxels; got {shape}: grow it in pieces")
    if part is None or part.shape != shape:
        return TILINGS[order](shape, part)
    depth, rows, cols = (max(side, BLOCK) for side in shape)
    missing = [(0, more - side) for more, side in zip((depth, rows, cols), shape, strict=True)]
    return TILINGS[order]((depth, rows, cols), np.pad(part, missing) if np.any(missing) else part)


def name_computed(info: EngineInfo) -> str:
    """What an engine computes with, for a blueprint; a card's results may depend on how many samples it computes."""
    batch = "" if info.device == "cpu" else f", {info.batch} at once"
    return f"{info.library} on {info.device} in {info.precision}{batch}"


def hash_mask(mask: Mask) -> str:
    """SHA-256 of a mask, in hexadecimal."""
    digest = hashlib.sha256(str(mask.shape).encode())
    digest.update(np.packbits(mask).data)
    return digest.hexdigest()
