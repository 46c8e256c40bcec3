"""Grow a volume on the workers of a Dask cluster, each with an engine of its own on its GPU or its share of the cores.

A block is a task that reads the blocks it waits for from a folder that all workers see, and stores its own there. So
a worker may be killed at any time: its tasks run again elsewhere, and the volume is the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.cluster import describe, plain_errors
from microrun.runtime.generation.effort import check_block, evaluations_of_blocks
from microrun.runtime.generation.grow import Grown
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.generation.workshops import RemoteEngine, Run, end_run, forget_folder, make_block


def grow_on_dask(client: Any, engine: RemoteEngine, folder: BlockFolder) -> Generator[Grown, None, None]:
    """Make all blocks of a volume that are missing.

    Parameters
    ----------
    client
        Of `connect`.
    engine
        The denoiser.
    folder
        Of the volume, under a path that is the same for all workers.

    Yields
    ------
    Grown
        After every block.

    Raises
    ------
    EngineError, VolumeError, OutputError
        As `grow`; or if a worker computes otherwise than the blueprint says, or does not see the folder, or the
        cluster is lost.
    """
    from distributed import as_completed

    spec, info = describe(client, engine)
    check_block(spec)
    run = Run(
        replace(engine, device="cuda" if info.device == "cuda" else "cpu"), folder.path.resolve(), folder.blueprint
    )
    with plain_errors():  # what a client that was killed left, perhaps of another volume of this name
        client.run(forget_folder, run.path, on_error="ignore")
    finished, evaluations = folder.finished(), evaluations_of_blocks(folder)
    count, done, total = int(finished.sum()), 0, int(evaluations[~finished].sum())
    yield Grown(0, total, blocks=count)
    with _submitted(client, run, folder.tiling, finished) as futures, plain_errors():
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            done += int(evaluations[future.result()])
            count += 1
            yield Grown(done, total, blocks=count)


@contextmanager
def _submitted(client: Any, run: Run, tiling: Tiling, finished: NDArray[np.bool_]) -> Iterator[list[Any]]:
    """Have missing blocks made; at the end, whatever its reason, no worker goes on with them."""
    futures: dict[int, Any] = {}
    try:
        for number in np.flatnonzero(~finished).tolist():
            waits_for = [futures[other] for other in tiling.dependencies(number).tolist() if other in futures]
            futures[number] = client.submit(make_block, run, number, *waits_for, pure=False)
        yield list(futures.values())
    finally:
        with contextlib.suppress(Exception):  # of a cluster that is lost
            client.cancel(list(futures.values()))
            client.run(end_run, run, on_error="ignore")
