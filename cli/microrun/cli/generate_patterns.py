"""`microrun generate-patterns`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_wrote
from microrun.runtime.encoding.draw_prior import generate_patterns, write_patterns
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import find_decoder_of, open_engine
from microrun.runtime.errors import SpecError
from microrun.runtime.files.destination import check_file
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.pattern_grid import count_columns, draw_patterns


def generate(
    engine: Annotated[
        str, typer.Option(help="A decoder's .onnx file, or the name of a built-in model.")
    ] = DEFAULT_ENGINE,
    count: Annotated[int, typer.Option(min=1, help="Number of patterns.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patterns.")] = 0,
    out: Annotated[Path, typer.Option(help="A .png of the patterns, or a .up2 file.")] = Path("generated.png"),
    overwrite: OverwriteOption = False,
) -> None:
    """Decode random latents, drawn from the prior that the model was trained towards."""
    check_file(out, overwrite, endings=(".png", ".up2"))
    with open_engine(find_decoder_of(engine), "auto", EngineRequest("f32")) as decoder:
        if decoder.spec.kind != "decoder":
            raise SpecError(f"{decoder.info.path}: is a model of kind {decoder.spec.kind}; this needs a decoder")
        with console.step("decoding"):
            patterns = generate_patterns(decoder, count, seed)
        keep = Preprocessor(decoder.spec.preprocessing, decoder.spec.preprocessing.input_shape).pixel_keep
    if out.suffix.lower() == ".png":
        save_figure(draw_patterns(patterns, keep, count_columns(count)), out)
    else:
        write_patterns(np.where(keep, patterns, -1), out)
    say_wrote(out, note=f": {count:,} patterns of seed {seed}")
