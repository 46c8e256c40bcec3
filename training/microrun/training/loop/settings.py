"""Settings of a training run, written beside its output."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.output import write_text
from microrun.runtime.json_text import UNREADABLE, check_fields, parse_object

Precision = Literal["auto", "f32", "bf16"]


@dataclass(frozen=True)
class Settings:
    """What `Trainer` needs of a run's settings; each kind of training adds its own.

    Parameters
    ----------
    batch
        Samples per step, of all processes together.
    learning_rate
        Of Adam with betas (0.9, 0.999).
    rate_warmup
        Steps over which the learning rate grows from 0.
    decay
        Share of the steps, the last ones, over which the learning rate falls to 0 as a cosine.
    precision
        "bf16", "f32", or "auto": bf16 where the device computes it natively. Weights are float32 in any case.
    seed
        Of all that is random.
    """

    batch: int
    learning_rate: float
    rate_warmup: int
    decay: float
    precision: Precision
    seed: int

    def __post_init__(self) -> None:
        if self.batch < 1 or self.learning_rate <= 0:
            raise ValueError("batch and learning rate must be positive")
        if min(self.rate_warmup, self.seed) < 0:
            raise ValueError("rate_warmup and seed must not be negative")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay is a share from 0 to below 1; got {self.decay:g}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be auto, f32 or bf16; got {self.precision!r}")

    def difference(self, other: Settings) -> str:
        """Name the settings that differ, with both values; empty if none does."""
        pairs = zip(dataclasses.asdict(self).items(), dataclasses.asdict(other).values(), strict=True)
        return ", ".join(f"{name} {mine} instead of {theirs}" for (name, mine), theirs in pairs if mine != theirs)

    def save(self, path: Path) -> None:
        """Write as JSON; OutputError if that fails."""
        write_text(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; MicrorunError if it is something else."""
        try:
            made = cls.from_dict(parse_object(path.read_text(encoding="utf-8")))
            check_fields(made)
            return made
        except (OSError, *UNREADABLE, MicrorunError) as error:
            raise MicrorunError(
                f"{path}: expected the settings of a training run ({error}); start again with another --folder"
            ) from None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make the settings from values of JSON."""
        return cls(**values)
