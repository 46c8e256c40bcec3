"""What a model is, written into the model: nothing the spec holds is ever asked of the user again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.colour_codes import colour_codes
from microrun.runtime.conditions import Condition
from microrun.runtime.domain import Domain
from microrun.runtime.errors import SpecError
from microrun.runtime.json_text import UNREADABLE, check_fields, parse_object
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.quantisation import Quantisation
from microrun.runtime.schedule import Schedule

SPEC_KEY = "microrun_spec"  # name of the metadata entry in ONNX and checkpoint files
SPEC_VERSION = 1
MOST_SIDE, MOST_VALUES, MOST_COLOURS = 1 << 14, 1 << 28, 1 << 16  # of any model: a spec that says more is damaged

Kind = Literal["encoder", "decoder", "denoiser"]
WeightPrecision = Literal["f32", "f16", "int8"]
EncoderNetwork = Literal["published", "fast"]
Process = Literal["", "potts", "am"]
Plane = Literal["", "across", "along"]


@dataclass(frozen=True)
class Preprocessing:
    """How raw patterns become the engine's input.

    A detector that is not square is cropped about its centre to a square; whole binning factors average
    blocks of pixels, all others the exact area under each pixel. The background is subtracted, then the
    pixels inside the mask are stretched to [−1, 1], pattern by pattern; those outside are 0.

    Parameters
    ----------
    input_shape
        (rows, cols) after binning.
    mask_radius
        In pixels after binning; −1 none, 0 the inscribed circle.
    crop
        How a detector that is not square is made square: "centre".
    scale_background
        True where each pattern is brought to the brightness of the background before that is subtracted, by least
        squares inside the mask: a beam current that falls changes nothing then. False in the published method.
    inverted
        True where bands are dark in raw patterns, which are turned about.
    """

    input_shape: tuple[int, int] = (120, 120)
    mask_radius: int = 0
    crop: Literal["centre"] = "centre"
    scale_background: bool = False
    inverted: bool = False

    def __post_init__(self) -> None:
        if len(self.input_shape) != 2 or not all(isinstance(n, int) and n > 0 for n in self.input_shape):
            raise SpecError(f"input_shape must be two positive numbers; got {self.input_shape}")
        if self.input_shape[0] != self.input_shape[1]:
            raise SpecError(f"input_shape must be square; got {self.input_shape}")
        if not isinstance(self.mask_radius, int) or self.mask_radius < -1:
            raise SpecError(f"mask_radius must be -1, 0 or positive; got {self.mask_radius}")
        if self.crop != "centre":
            raise SpecError(f"crop must be centre; got {self.crop!r}")
        for name in ("scale_background", "inverted"):
            if not isinstance(getattr(self, name), bool):
                raise SpecError(f"{name} must be true or false; got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Diffusion:
    """What a denoiser draws samples of.

    Parameters
    ----------
    sample_shape
        (channels, *sides) of one sample, such as (1, 32, 32, 32).
    schedule
        That it was trained with.
    n_colours
        Colours that grains have: of volumes neighbours never the same, of sections one an orientation. Coded as
        `codes` says; 0 where values are none.
    conditions
        What a sample is conditioned on, in the order of the network's input.
    plane, step_um, hatch_um
        Of sections: "across" or "along" the tracks, the edge of a cell in µm, and the tracks' distance, 0 if not known.
    palette
        Of sections in colours: (red, green, blue) of each orientation, from −1 to 1; empty where codes are bits.
    grain_voxels
        Of volumes: mean diameter of the grains in voxels, of spheres of the same volumes, by number, of grains of 27
        voxels or more that no face cuts; None where that is not stated.
    known_inputs
        Whether the network itself sees which values are known, at each step: then it needs no RePaint.
    process, hatch_voxels
        Of volumes: what grew them, "potts" or "am", a melt pool, or empty; and its tracks' distance, 0 if not known.
    """

    sample_shape: tuple[int, ...]
    schedule: Schedule
    n_colours: int = 0
    conditions: tuple[Condition, ...] = ()
    plane: Plane = ""
    step_um: float = 0.0
    hatch_um: float = 0.0
    palette: tuple[tuple[float, ...], ...] = ()
    grain_voxels: float | None = None
    known_inputs: bool = False
    process: Process = ""
    hatch_voxels: float = 0.0

    def __post_init__(self) -> None:
        if len(self.sample_shape) not in (3, 4) or not all(isinstance(n, int) and n > 0 for n in self.sample_shape):
            raise SpecError(f"sample_shape must be channels and two or three sides; got {self.sample_shape}")
        if max(self.sample_shape) > MOST_SIDE or math.prod(self.sample_shape) > MOST_VALUES:
            raise SpecError(f"sample_shape must have at most {MOST_VALUES:,} values; got {self.sample_shape}")
        if not isinstance(self.n_colours, int) or not 0 <= self.n_colours <= MOST_COLOURS:
            raise SpecError(f"n_colours must be 0 to {MOST_COLOURS:,}; got {self.n_colours!r}")
        if self.plane not in get_args(Plane):
            raise SpecError(f"plane must be across, along or empty; got {self.plane!r}")
        if self.process not in get_args(Process) or not 0 <= self.hatch_voxels < MOST_SIDE:
            raise SpecError(f"process is potts or am, hatch_voxels 0 up; got {self.process!r}, {self.hatch_voxels}")
        if self.grain_voxels is not None and not 0 < self.grain_voxels < MOST_SIDE:
            raise SpecError(f"grain_voxels must be above 0 and below {MOST_SIDE}; got {self.grain_voxels!r}")
        if self.n_colours:
            _ = self.codes
        if self.schedule.prediction == "bits" and (not self.n_colours or self.sample_shape[0] == 1 or self.palette):
            raise SpecError(f"prediction of bits needs a channel for each bit; got {self.sample_shape[0]} channels")

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of one sample: (rows, cols) or (z, y, x)."""
        return self.sample_shape[1:]

    @property
    def codes(self) -> Float32:
        """What a network sees of each colour, (n_colours, channels); SpecError if there is no such code."""
        if not self.palette:
            return colour_codes(self.n_colours, self.sample_shape[0])
        palette = np.array(self.palette, np.float32)
        if palette.shape != (self.n_colours, self.sample_shape[0]) or not np.isfinite(palette).all():
            raise SpecError(f"a palette has {self.sample_shape[0]} numbers for each of {self.n_colours} colours")
        return palette

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Diffusion:
        """Read what `dataclasses.asdict` made; SpecError, TypeError or KeyError if it is something else."""
        read = {**values, "sample_shape": tuple(values["sample_shape"])}
        if read.pop("condition_size", 0):  # of version 0.1.0: always 0 in what it trained
            raise SpecError("its condition has no names, which this version needs; train the model again")
        read["schedule"] = Schedule.from_dict(values["schedule"])
        read["conditions"] = tuple(Condition(**one) for one in values.get("conditions", ()))
        read["palette"] = tuple(map(tuple, values.get("palette", ())))
        return cls(**read)


@dataclass(frozen=True)
class Training:
    """Where a model comes from and how good it is.

    Parameters
    ----------
    data
        What it was trained on, for a reader.
    patterns, steps, seed
        Size of the training set (of a denoiser: samples seen), optimiser steps, seed.
    licence
        Licence of the weights.
    metrics
        Measured quality, by name.
    """

    data: str = ""
    patterns: int = 0
    steps: int = 0
    seed: int = 0
    licence: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """What a model is.

    Parameters
    ----------
    name
        For people, such as "vae32".
    kind
        "encoder", "decoder" or "denoiser".
    latent_size
        D; 0 for a denoiser.
    preprocessing
        Of the patterns that go in (encoder) or come out (decoder); without meaning for a denoiser.
    precision
        Of the weights: "f32", "f16", or "int8" where convolutions are quantised.
    parity_error
        Relative L2 error of the file against the checkpoint in float32, measured at the export; None before.
    training, quantisation
        Source and quality; of an int8 model what it costs.
    diffusion
        Of a denoiser: what it draws samples of.
    domain, network
        Of an encoder and its decoder: which patterns they know, None where that is not stated; and the network,
        "published" (Calvat et al.) or "fast" (a fifth of its operations).
    known
        Of an encoder: where latents of patterns lie that it knows; None where that is not stated.
    """

    name: str
    kind: Kind
    latent_size: int = 0
    preprocessing: Preprocessing = Preprocessing()
    precision: WeightPrecision = "f32"
    parity_error: float | None = None
    training: Training = Training()
    quantisation: Quantisation | None = None
    diffusion: Diffusion | None = None
    domain: Domain | None = None
    network: EncoderNetwork = "published"
    known: KnownLatents | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("kind", Kind), ("network", EncoderNetwork), ("precision", WeightPrecision)):
            if getattr(self, name) not in get_args(allowed):
                raise SpecError(f"{name} must be one of {', '.join(get_args(allowed))}; got {getattr(self, name)!r}")
        if (self.kind == "denoiser") != (self.diffusion is not None):
            raise SpecError(f"a denoiser, and nothing else, tells its diffusion; got {self.kind} and {self.diffusion}")
        if self.diffusion is None and (not isinstance(self.latent_size, int) or self.latent_size < 1):
            raise SpecError(f"latent_size must be a positive number; got {self.latent_size!r}")
        if max(self.latent_size, *self.preprocessing.input_shape) > MOST_SIDE:
            sizes = f"{self.latent_size} and {self.preprocessing.input_shape}"
            raise SpecError(f"latent_size and input_shape must be at most {MOST_SIDE:,}; got {sizes}")
        if self.known and self.known.size != self.latent_size:
            raise SpecError(f"known latents must have {self.latent_size} features; got {self.known.size}")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch: (1, rows, cols), (D,), or that of a sample."""
        if self.diffusion is not None:
            return self.diffusion.sample_shape
        return (1, *self.preprocessing.input_shape) if self.kind == "encoder" else (self.latent_size,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output, without the batch: (D,), (1, rows, cols), or that of a sample."""
        if self.diffusion is not None:
            return self.diffusion.sample_shape
        return (self.latent_size,) if self.kind == "encoder" else (1, *self.preprocessing.input_shape)

    def require(self, *kinds: Kind, source: object, task: str) -> None:
        """Refuse a model of another kind.

        Parameters
        ----------
        kinds
            That will do.
        source
            Its file, to name.
        task
            What needs one of them, such as "encoding".

        Raises
        ------
        SpecError
            If the model is of none of these kinds.
        """
        if self.kind not in kinds:
            wanted = " or ".join(map(_with_article, kinds))
            raise SpecError(f"{source}: is {_with_article(self.kind)}; {task} needs {wanted}")

    def belongs_to(self, encoder: ModelSpec) -> bool:
        """Whether this is the decoder that was exported with an encoder, in any precision, and whatever they cost."""
        apart = ("kind", "precision", "parity_error", "quantisation", "domain", "known")  # older latents lack the last
        mine, theirs = ({**vars(spec), **dict.fromkeys(apart)} for spec in (self, encoder))
        return self.kind == "decoder" and mine == theirs

    def to_json(self) -> str:
        """Encode as one line of JSON."""
        return json.dumps({"spec_version": SPEC_VERSION, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> ModelSpec:
        """Decode what `to_json` made.

        Parameters
        ----------
        text
            JSON.
        source
            File that it was found in, for error messages.

        Raises
        ------
        SpecError
            If it is no spec, of another version, or its values make no sense.
        """
        try:
            values = parse_object(text)
            if (version := values.pop("spec_version")) != SPEC_VERSION:
                raise SpecError(f"spec version must be {SPEC_VERSION}; got {version}")
            prepared = values["preprocessing"]
            values["preprocessing"] = Preprocessing(**{**prepared, "input_shape": tuple(prepared["input_shape"])})
            values["training"] = Training(**values["training"])
            for name, read in _READERS.items():  # older versions wrote none of them
                values[name] = None if values.get(name) is None else read(values[name])
            spec = cls(**values)
            check_fields(spec)
            return spec
        except SpecError as error:
            raise SpecError(f"{source}: {error}") from None
        except UNREADABLE as error:
            raise SpecError(f"{source}: its spec is damaged ({error}); export the model again") from None


_READERS: dict[str, Callable[[Any], Any]] = {
    "quantisation": lambda values: Quantisation(**values), "diffusion": Diffusion.from_dict,
    "domain": Domain.from_dict, "known": KnownLatents.from_dict,
}  # fmt: skip


def _with_article(kind: Kind) -> str:
    return f"an {kind}" if kind == "encoder" else f"a {kind}"
