"""Decoding against its limit, the engine alone: `python tests/benchmarks/bench_decode.py LATENTS [ENGINE]`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from microrun.runtime.encoding.decode import decode_latents, find_decoder
from microrun.runtime.engines.lanes import run_lanes
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.progress import finish

REPEATS = 5


def median_rate(count: int, action: Callable[[], object]) -> float:
    """Patterns per second, the median of a few runs after one that does not count."""
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return count / statistics.median(seconds[1:])


def main(path: Path, engine: str | None) -> None:
    with (
        open_latents(path) as latents,
        open_engine(engine or find_decoder(latents)) as decoder,
        tempfile.TemporaryDirectory() as folder,
    ):
        count = latents.origin.scan.total
        out = Path(folder) / "decoded.up2"
        values = np.zeros((decoder.info.batch, decoder.spec.latent_size), np.float32)
        batches = [values] * -(-count // len(values))
        alone = median_rate(
            count, lambda: list(run_lanes(decoder, batches, lambda lane, batch: lane.run(batch)[0, 0, 0]))
        )
        whole = median_rate(count, lambda: finish(decode_latents(latents, decoder, out)))
        print(f"{decoder.info}\nengine alone {alone:8,.0f}/s\ndecode       {whole:8,.0f}/s  {whole / alone:.2f} of it")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
