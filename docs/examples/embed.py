"""Embed microrun in acquisition software: a camera thread pushes patterns, the program receives latents."""

import threading

import numpy as np

from microrun.runtime import MemorySource, Scan, encode, open_engine

ROWS, COLS = 12, 16


def camera(source: MemorySource) -> None:
    """Stand in for a camera: push every pattern as it is read out, then say that the scan is over."""
    rng = np.random.default_rng(0)
    for _ in range(source.scan.total):
        source.push(rng.integers(0, 4096, source.scan.sig_shape, dtype=np.uint16))
    source.finish()


def main() -> np.ndarray:
    """Encode while the camera runs; return the map, (rows, cols, D)."""
    source = MemorySource(Scan(nav_shape=(ROWS, COLS), sig_shape=(480, 480), dtype="uint16"))
    engine = open_engine("vae32")
    latents = np.full((ROWS * COLS, engine.spec.latent_size), np.nan, np.float32)
    with engine, encode(source, engine, background="running") as stream:
        threading.Thread(target=camera, args=(source,)).start()
        for batch in stream:
            latents[batch.indices] = batch.latents
            print(f"\r{stream.statistics.done} patterns, {stream.statistics.rate:.0f}/s", end="", flush=True)
    print()
    return latents.reshape(ROWS, COLS, -1)


if __name__ == "__main__":
    main()
