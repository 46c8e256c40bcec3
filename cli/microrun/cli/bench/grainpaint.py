"""GrainPaint's published networks, rebuilt as peers: of the same layers with random weights, so as fast.

Hoffman et al., GrainPaint: A multi-scale diffusion-based generative model for microstructure reconstruction of
large-scale objects, Acta Materialia 288 (2025) 120784, arXiv:2503.04776. The paper's network and the smaller one that
its repository added later are diffusers' for video: convolutions within planes and from plane to plane, and attention
between planes. They differ only in the heads of that attention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from microrun.cli.bench.operations import count_operations

if TYPE_CHECKING:
    import torch

SIDE = 32
TIMESTEPS = 250


@dataclass(frozen=True)
class GrainPaint:
    """One of the networks: channels of its eight heads of attention, length of the constant that stands for a text."""

    name: str
    head_size: int
    condition_size: int

    def build(self) -> Any:
        """Make it, on torch's default device."""
        import diffusers

        make: Any = diffusers.UNet3DConditionModel
        network = make(
            sample_size=SIDE, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=32,
            block_out_channels=(32, 64), down_block_types=("DownBlock3D",) * 2, up_block_types=("UpBlock3D",) * 2,
            cross_attention_dim=self.condition_size, attention_head_dim=self.head_size,
        )  # fmt: skip
        return network.eval()

    def evaluation(self, device: str, batch: int) -> Callable[[], torch.Tensor]:
        """Make what evaluates it in float32 on a batch of blocks; it returns when the device is done."""
        import torch

        network = self.build().to(device)
        inputs = [tensor.to(device) for tensor in self._inputs(batch)]

        def evaluate() -> torch.Tensor:
            with torch.inference_mode():
                found: torch.Tensor = network(*inputs).sample
            if device == "cuda":
                torch.cuda.synchronize()
            return found

        return evaluate

    def count_operations(self) -> float:
        """Two per multiplication and addition, of one evaluation of a block."""
        return count_operations(lambda: self.build()(*self._inputs(1)))

    def _inputs(self, batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch of blocks, their timesteps, and the constant."""
        import torch

        blocks = torch.zeros(batch, 1, SIDE, SIDE, SIDE)
        return blocks, torch.full((batch,), TIMESTEPS - 1), torch.ones(batch, 1, self.condition_size)


SMALL = GrainPaint("GrainPaint small", head_size=1, condition_size=1)
BIG = GrainPaint("GrainPaint big", head_size=64, condition_size=32)
