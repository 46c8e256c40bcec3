#!/usr/bin/env bash
# What needs an NVIDIA card: tests of every engine that is there, then the benchmark.
#
# Runs on a bare machine without network: python3 with PyTorch, numba, h5py, typer, rich, lazy-loader, pytest,
# hypothesis and ONNX Runtime is enough. Wheels in tests/gpu/wheels (TensorRT, TensorRT-RTX, onnxruntime-gpu,
# cuda-bindings, lazy-loader, …), if any were brought, are used from a folder of their own; nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-$(mktemp -d)}
export PYTHONPATH=kernels:runtime:training:export:cli:tests/help PYTHONUNBUFFERED=1
if compgen -G "tests/gpu/wheels/*.whl" > /dev/null; then
  wheels=$(mktemp -d)
  python3 -m pip install --quiet --no-index --no-deps --target "$wheels" tests/gpu/wheels/*.whl
  export PYTHONPATH="$PYTHONPATH:$wheels"
fi
python3 -m microrun.cli.main doctor
failed=0
python3 -m pytest -q -rs -p no:cacheprovider --confcutdir=tests/gpu -m gpu tests/gpu tests/runtime/engines/test_denoiser.py || failed=$?
python3 tests/gpu/bench_gpu.py --json "$out/gpu.json"
# Denoisers run by ONNX Runtime only; where it has no CUDA, the benchmark says so.
python3 -m microrun.cli.main bench generate --device cuda --precision f16 --out "$out/generate.json" || true
exit "$failed"
