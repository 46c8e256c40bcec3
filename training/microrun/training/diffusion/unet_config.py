"""Shape of a U-Net, kept in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

MOST_LAYERS = 32  # a file that says more is damaged
Embedding = Literal["perceptron", "fourier"]


@dataclass(frozen=True)
class UnetConfig:
    """Shape of a network.

    Parameters
    ----------
    dims
        2 for images, 3 for volumes.
    channels
        Of each level, the finest first; each level halves the sides of the one before.
    in_channels, out_channels
        Of what goes in and comes out.
    blocks
        Residual blocks of a level on the way down; there is one more on the way up.
    attention_levels
        Levels whose blocks are followed by attention, 0 the finest.
    head_size
        Channels of an attention head.
    groups
        Of the normalisation.
    patch
        Side of the patches that become channels at once: 2 halves the sides before the first level.
    detail
        Channels of each place in a last layer that sees the input again, whole: without it (0) nothing finer than a
        patch passes but through the channels of the first level.
    condition_size
        Numbers that a sample is conditioned on, from −1 to 1 each; 0 without.
    condition_embedding
        How they enter: "perceptron", two layers on the numbers themselves, or "fourier", the same on cosines and
        sines of random projections (Tancik et al., arXiv:2006.10739).

    Raises
    ------
    ValueError
        For a network that cannot be.
    """

    dims: int
    channels: tuple[int, ...]
    in_channels: int = 1
    out_channels: int = 1
    blocks: int = 2
    attention_levels: tuple[int, ...] = ()
    head_size: int = 8
    groups: int = 32
    patch: int = 1
    detail: int = 0
    condition_size: int = 0
    condition_embedding: Embedding = "perceptron"

    def __post_init__(self) -> None:
        if self.dims not in (2, 3):
            raise ValueError(f"dims must be 2 or 3; got {self.dims}")
        if not self.channels or min(self.in_channels, self.out_channels, self.blocks, self.patch) < 1:
            raise ValueError("a network needs at least one level, block, and channel in and out, and patches of 1 up")
        if max(self.blocks, len(self.channels)) > MOST_LAYERS:
            raise ValueError(f"a network has at most {MOST_LAYERS} levels, and blocks of each")
        if min(self.condition_size, self.detail) < 0:
            raise ValueError(
                f"condition_size and detail must not be negative; got {self.condition_size}, {self.detail}"
            )
        if self.condition_embedding not in get_args(Embedding):
            raise ValueError(f"condition_embedding must be {' or '.join(get_args(Embedding))}")
        deepest = len(self.channels) - 1
        if not set(self.attention_levels) <= set(range(deepest + 1)):
            raise ValueError(f"attention_levels must be from 0 to {deepest}; got {self.attention_levels}")
        if any(number < 1 or number % self.groups or number % 2 for number in self.channels):
            raise ValueError(f"channels must be even multiples of the {self.groups} groups; got {self.channels}")
        if any(self.channels[level] % self.head_size for level in (*self.attention_levels, deepest)):
            raise ValueError(f"channels under attention must be multiples of head_size {self.head_size}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UnetConfig:
        """Read what `dataclasses.asdict` and JSON made; TypeError, KeyError or ValueError if it is something else."""
        levels = {name: tuple(values[name]) for name in ("channels", "attention_levels")}
        return cls(**{**values, **levels})

    @property
    def known_inputs(self) -> bool:
        """Whether the network sees what is known of a sample: its channels in are those of `show_known`."""
        return self.in_channels == entering_channels(self.out_channels, True)

    @property
    def embedding_size(self) -> int:
        """Numbers that tell the residual blocks the timestep and the condition."""
        return 4 * self.channels[0]

    @property
    def reduction(self) -> int:
        """How many times shorter the sides are at the deepest level than those of a sample, odd ones rounded up."""
        return self.patch << len(self.channels) - 1

    def check_sides(self, sides: tuple[int, ...]) -> None:
        """Raise ValueError for sides of samples that are not made of patches."""
        if len(sides) != self.dims or any(side % self.patch for side in sides):
            raise ValueError(f"expected {self.dims} sides that are multiples of {self.patch}; got {tuple(sides)}")


def entering_channels(channels: int, known_inputs: bool) -> int:
    """Channels in of a network, for samples of so many: more if it sees what is known of them."""
    return 2 * channels + 1 if known_inputs else channels


# For blocks of 32³ voxels whose grains have 128 colours, as bits.
GRAIN_UNET = UnetConfig(
    dims=3, channels=(48, 64, 64), in_channels=7, out_channels=7, blocks=1, head_size=32, groups=8, patch=2
)

# For sections of 20 orientations, as 5 bits each, or in 3 colours: one for two cores, and the published one, whose
# hashing of conditions is left out: trained on 8 cases, it errs by the whole spread of what lies between them.
SMALL_SECTION_UNET = UnetConfig(
    dims=2, channels=(48, 96), in_channels=5, out_channels=5, blocks=1, attention_levels=(1,), head_size=32,
    groups=8, patch=4, detail=16, condition_size=2,
)  # fmt: skip
PUBLISHED_SECTION_UNET = UnetConfig(
    dims=2, channels=(32, 64, 128, 256, 512), in_channels=3, out_channels=3, attention_levels=(1, 3), condition_size=2
)  # fmt: skip
SECTION_UNETS = {"small": SMALL_SECTION_UNET, "published": PUBLISHED_SECTION_UNET}


def section_unet(size: str, channels: int) -> UnetConfig:
    """Network for sections, by its name.

    Parameters
    ----------
    size
        "small" or "published".
    channels
        Numbers of a cell.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if size not in SECTION_UNETS:
        raise ValueError(f"the size of a network must be {' or '.join(SECTION_UNETS)}; got {size!r}")
    return replace(SECTION_UNETS[size], in_channels=channels, out_channels=channels)
