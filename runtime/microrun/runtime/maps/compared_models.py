"""Models that are compared: pairs that belong together, that prepare patterns alike, and have names of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import SpecError
from microrun.runtime.spec import Preprocessing


def check_pair(encoder: Engine, decoder: Engine) -> None:
    """Refuse two models that are no pair.

    Parameters
    ----------
    encoder, decoder
        Each in its place.

    Raises
    ------
    SpecError
        If one is of another kind than its place asks for, or they were not exported together.
    """
    encoder.spec.require("encoder", source=encoder.info.path, task="judging")
    decoder.spec.require("decoder", source=decoder.info.path, task="judging")
    if not decoder.spec.belongs_to(encoder.spec):
        raise SpecError(f"{decoder.info.path}: was not exported together with {encoder.info.path}")


def name_engines(engines: Sequence[Engine]) -> list[str]:
    """Names that tell engines apart: those of their files, with the folder where files are named alike.

    Parameters
    ----------
    engines
        In the order of the names.
    """
    stems = [engine.info.path.stem for engine in engines]
    paths = [str(engine.info.path.with_suffix("")) for engine in engines]
    return [path if stems.count(stem) > 1 else stem for stem, path in zip(stems, paths, strict=True)]


def check_alike(encoders: Sequence[Engine]) -> None:
    """Refuse encoders that cannot be judged on the same patterns.

    Parameters
    ----------
    encoders
        One at least.

    Raises
    ------
    SpecError
        If one prepares patterns in another way than the first.
    """
    for encoder in encoders:
        if encoder.spec.preprocessing != encoders[0].spec.preprocessing:
            raise SpecError(
                f"{encoder.info.path}: prepares patterns in another way than {encoders[0].info.path} "
                f"({_difference(encoder.spec.preprocessing, encoders[0].spec.preprocessing)}); judge them apart"
            )


def _difference(one: Preprocessing, other: Preprocessing) -> str:
    """First field in which two differ, with both values."""
    names = (field.name for field in dataclasses.fields(one))
    name = next(name for name in names if getattr(one, name) != getattr(other, name))
    return f"{name} {getattr(one, name)} instead of {getattr(other, name)}"
