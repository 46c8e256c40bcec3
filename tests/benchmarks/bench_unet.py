"""Evaluations of the network for grains by every engine of this machine's CPU, in one run.

    python tests/benchmarks/bench_unet.py [BATCH]

prints medians of whole steps per second and sample, the rate of arithmetic, and how many times PyTorch's speed in
float32.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from timing import median_seconds
from torch.utils.flop_counter import FlopCounterMode

from microrun.export.step_graph import INPUTS, Step, trace_step
from microrun.training.diffusion.config import GRAIN_SCHEDULE
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import GRAIN_UNET
from microrun.training.vae.network import count_parameters

SIDES, REPEATS = (32, 32, 32), 7


def make_inputs(batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x, known, noise = rng.standard_normal((3, batch, GRAIN_UNET.in_channels, *SIDES)).astype(np.float32)
    mask = rng.integers(0, 2, x.shape).astype(np.float32)
    timestep = rng.integers(0, GRAIN_SCHEDULE.training_steps, batch).astype(np.int32)
    coefficients = np.tile(np.float32([1, 0, 1.01, -0.06, 0.05]), (batch, 1))
    values = x, known, mask, noise, timestep, coefficients
    return dict(zip(INPUTS, values, strict=True))


def openvino_step(path: Path, precision: str, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({name: list(array.shape) for name, array in inputs.items()})
    compiled: Any = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    return lambda: request.infer()


def main(batch: int) -> None:
    unet = UNet(GRAIN_UNET).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(torch.zeros(1, GRAIN_UNET.in_channels, *SIDES), torch.zeros(1))
    flop = counter.get_total_flops()
    print(f"{count_parameters(unet):,} parameters, {flop / 1e9:.2f} GFLOP per evaluation, batch {batch}")
    inputs = make_inputs(batch)
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    step = Step(unet, GRAIN_SCHEDULE, "f32")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "step.onnx"
        onnx.save_model(trace_step(unet, SIDES, GRAIN_SCHEDULE, "f16"), path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        rows: list[tuple[str, Callable[[], object]]] = [
            ("PyTorch f32", lambda: step(*tensors)),
            ("ONNX Runtime", lambda: session.run(None, inputs)),
            ("OpenVINO f32", openvino_step(path, "f32", inputs)),
            ("OpenVINO bf16", openvino_step(path, "bf16", inputs)),
        ]
        rates = {name: batch / median_seconds(work, REPEATS) for name, work in rows}
    print(f"{'engine':<16}{'evaluations/s':>14}{'GFLOP/s':>10}{'× PyTorch':>11}")
    for name, rate in rates.items():
        print(f"{name:<16}{rate:>14.1f}{rate * flop / 1e9:>10.0f}{rate / rates['PyTorch f32']:>11.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
