"""What latents were made from and with."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from microrun.runtime.patterns.warp import Warp
from microrun.runtime.scans.part import Part
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec

FORMAT = "microrun latents 1"
LatentType = Literal["float32", "float16"]
Background = Literal["mean", "running", "none", "file"]


@dataclass(frozen=True)
class Origin:
    """What latents were made from and with; a resumed run must have the same.

    Parameters
    ----------
    scan
        Geometry, of the part where it is one.
    fingerprint
        Hash of the scan's first pattern; empty for one of a single value, and for a scan in memory.
    spec
        The encoder's.
    engine_sha256, engine, precision
        Hash of the model file, what ran it, and in which precision.
    background
        "mean", "running", "none" or "file".
    dtype
        Type of the stored latents.
    up_header
        Header of the UP file in hexadecimal; empty for other sources.
    mean_of
        Patterns that there were when the background "mean" was made; 0 for others, and where it is not known.
    bad_pixels
        Numbers, row · cols + col, of the detector's pixels that were filled from those around, ascending.
    scale_background
        Whether patterns were brought to the brightness of the background before it was subtracted.
    inverted
        Whether bands were dark and patterns were turned about.
    warp
        Pattern centres of the scan and of the model that patterns were warped from and to; None where they were not.
    part
        Which points of the scan they are of; None for all.
    """

    scan: Scan
    fingerprint: str
    spec: ModelSpec
    engine_sha256: str
    engine: str
    precision: str
    background: Background
    dtype: LatentType = "float32"
    up_header: str = ""
    mean_of: int = 0
    bad_pixels: tuple[int, ...] = ()
    scale_background: bool = False
    inverted: bool = False
    warp: Warp | None = None
    part: Part | None = None

    def to_json(self) -> str:
        """Encode all but the spec, which has an attribute of its own."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["scan"] = dataclasses.asdict(self.scan)
        values["warp"] = self.warp and dataclasses.asdict(self.warp)
        values["part"] = self.part and dataclasses.asdict(self.part)
        del values["spec"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, spec: ModelSpec) -> Origin:
        """Decode what `to_json` made; raises one of `UNREADABLE` or ScanError for anything else."""
        values: dict[str, Any] = json.loads(text)
        scan = values.pop("scan")
        for name in ("nav_shape", "sig_shape", "step_um"):
            scan[name] = tuple(scan[name])
        bad_pixels = tuple(values.pop("bad_pixels", ()))  # files of older versions have none
        found = values.pop("warp", None)
        warp = None if found is None else Warp(**{name: tuple(centre) for name, centre in found.items()})
        made = cls(
            scan=Scan(**scan), spec=spec, bad_pixels=bad_pixels, warp=warp, part=_read_part(values.pop("part", None)),
            **values,
        )  # fmt: skip
        if made.part and made.part.nav_shape != made.scan.nav_shape:
            raise ValueError("the part of the scan has another shape than the map")
        if not all(type(number) is int and 0 <= number < math.prod(made.scan.sig_shape) for number in bad_pixels):
            raise ValueError("a bad pixel lies beside the detector")
        if not isinstance(made.scale_background, bool) or not isinstance(made.inverted, bool):
            raise ValueError("whether the background was scaled, or bands were dark, is neither true nor false")
        return made

    def difference(self, other: Origin) -> str | None:
        """Say in words in what another origin differs, or None."""
        for name, what in (
            ("part", "region (--region, --every)"),
            ("fingerprint", "scan (its first pattern differs)"),
            ("scan", "scan geometry"),
            ("engine_sha256", "engine"),
            ("precision", "precision"),
            ("engine", "engine library or device"),
            ("background", "background"),
            ("dtype", "latents type"),
            ("bad_pixels", "choice of bad pixels (--bad-pixels)"),
            ("scale_background", "scaling of the background (--scale-background)"),
            ("inverted", "polarity (--invert)"),
            ("warp", "pattern centre (--pc)"),
        ):
            mine, theirs = getattr(self, name), getattr(other, name)
            untold = name == "fingerprint" and not (mine and theirs)  # then other patterns tell scans apart
            if mine != theirs and not untold:
                long = name in ("fingerprint", "engine_sha256", "bad_pixels", "scale_background", "inverted")
                return what if long else f"{what}: {mine or 'none'} there, {theirs or 'none'} here"
        return None


def _read_part(found: dict[str, Any] | None) -> Part | None:
    if found is None:
        return None
    spans: dict[str, Any] = {name: tuple(found.pop(name)) for name in ("whole", "rows", "cols")}
    return Part(**spans, **found)
