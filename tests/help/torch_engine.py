"""PyTorch in the place of TensorRT: the same lanes, streams, pinned buffers and captured graphs around its kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from microrun.runtime.cores import count_cores
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.engines.nvidia.cuda import Cuda, Device
from microrun.runtime.engines.nvidia.cuda_lane import CudaEngine
from microrun.runtime.spec import ModelSpec

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class TorchEngine(CudaEngine):
    """A module on the card.

    Parameters
    ----------
    module, spec
        Maps (batch, *spec.input_shape) to (batch, *spec.output_shape).
    precision
        "f32", "f16" or "bf16".
    batch, lanes
        As any engine has.
    device
        The card; a benchmark gives one that does not copy.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: ModelSpec,
        precision: str,
        batch: int = 256,
        lanes: int | None = None,
        device: Device | None = None,
    ) -> None:
        self.type = TYPES[precision]
        self.module = module.to("cuda", self.type, memory_format=torch.channels_last).eval()
        lanes = lanes or count_cores() + 1
        info = EngineInfo(Path("module"), "0" * 64, f"PyTorch {torch.__version__}", "cuda", precision, lanes, batch)
        super().__init__(spec, info, device or Cuda())

    def make_compute(self, stream: int, inputs: int, outputs: int) -> TorchCompute:
        shapes = (self.info.batch, *self.spec.input_shape), (self.info.batch, *self.spec.output_shape)
        arrays = [_show(address, shape) for address, shape in zip((inputs, outputs), shapes, strict=True)]
        return TorchCompute(self, torch.cuda.ExternalStream(stream), arrays[0], arrays[1])


class TorchCompute:
    """The module on fixed addresses and a stream that is not PyTorch's own."""

    def __init__(self, engine: TorchEngine, stream: Any, inputs: Tensor, outputs: Tensor) -> None:
        self.engine, self.stream, self.inputs, self.outputs = engine, stream, inputs, outputs

    @torch.inference_mode()
    def enqueue(self) -> None:
        with torch.cuda.stream(self.stream):
            prepared = self.inputs.to(self.engine.type)
            if prepared.ndim == 4:
                prepared = prepared.contiguous(memory_format=torch.channels_last)
            self.outputs.copy_(self.engine.module(prepared))

    def close(self) -> None:
        torch.cuda.synchronize()


def _show(address: int, shape: tuple[int, ...]) -> Tensor:
    """A tensor on memory that PyTorch did not allocate."""

    class Memory:
        __cuda_array_interface__ = {"shape": shape, "typestr": "<f4", "data": (address, False), "version": 3}  # noqa: RUF012

    return torch.as_tensor(Memory(), device="cuda")
