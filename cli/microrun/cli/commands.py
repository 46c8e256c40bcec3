"""All commands by name: what each does in a line, and where it is. None is imported before it is called."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Entry(NamedTuple):
    """Where a command is, as MODULE:NAME of a function or of a group, and the first line of its help."""

    place: str
    line: str


COMMANDS = {
    "encode": Entry("encode:encode", "Encode a scan's patterns into latents."),
    "maps": Entry("maps:maps", "Draw latent maps as PNG."),
    "analyse": Entry(
        "analyse:analyse", "Find what latents show: ranked features, spread between neighbours, segments, clusters."
    ),
    "decode": Entry(
        "decode:decode",
        "Decode latents into patterns that can be indexed: a UP2 file on the same grid.",
    ),
    "convert": Entry(
        "convert:convert",
        "Write latents, or a volume of grains, in the format of other programs; or measured maps as sections.",
    ),
    "physics": Entry(
        "physics:physics",
        "Draw conventional maps of a scan, to hold latent maps against (Fig. 5 of Calvat et al.).",
    ),
    "inspect": Entry("inspect.command:inspect", "Say what a file holds."),
    "models": Entry(
        "models:models",
        "List the built-in models: encoders, with what indexing says of their reconstructions, and denoisers.",
    ),
    "demo": Entry("demo:demo", "Simulate a scan, encode it and draw its latent maps."),
    "replay": Entry("replay:replay", "Play a scan back as if it were being acquired."),
    "train": Entry("train.vae:app", "Train models on scans, volumes or sections."),
    "evaluate": Entry(
        "evaluate:evaluate",
        "Judge models by the bands that they reconstruct, and by indexing them: Table 1 of Calvat et al.",
    ),
    "probe": Entry(
        "probe:probe",
        "Ask whether latent maps mean something: simulate samples with known truth, and probe.",
    ),
    "generate-patterns": Entry(
        "generate_patterns:generate",
        "Decode random latents, drawn from the prior that the model was trained towards.",
    ),
    "simulate": Entry("simulate.scan:app", "Make data with known truth."),
    "generate": Entry("generate.command:generate", "Grow a grain structure of any size, or in the shape of a part."),
    "sample": Entry("sample:sample", "Draw sections of printed metal for a laser power and speed."),
    "sections": Entry(
        "sections:sections", "Measure the grains of sections, and compare them with those of a reference."
    ),
    "voxelize": Entry(
        "voxelize:voxelize",
        "Turn the surface of a part into a mask of cubic voxels, to grow grains in its shape.",
    ),
    "orient": Entry("orient:orient", "Give the grains of a volume crystal orientations of a texture."),
    "segment": Entry(
        "segment:segment",
        "Segment a volume into grains: DBSCAN exactly as scikit-learn's, at the speed of the lattice.",
    ),
    "grains": Entry("grains:grains", "Measure grains, and compare them with those of a reference."),
    "render": Entry(
        "render:render",
        "Draw a volume: the cube with an octant cut out, or a part as it is, and the three middle slices.",
    ),
    "export": Entry(
        "export:export",
        "Export a model to ONNX or to TensorRT plans, and compare every file with what it was made from.",
    ),
    "bench": Entry("bench.commands:app", "Measure speed against limits and peers, in one run."),
    "doctor": Entry(
        "doctor.command:doctor",
        "Say what is installed, which engines and plans run here and why others do not, and what clashes.",
    ),
}


class LazyGroup(TyperGroup):
    """The group of all commands: it lists them by their lines, and imports the one that is called."""

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {name: TyperCommand(name, help=entry.line) for name, entry in COMMANDS.items()}
        super().__init__(**settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C is an error with a line of its own, of which typer makes an exit without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command, and import it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and load_command(str(name)), rest


def load_command(name: str) -> Any:
    """Import a command."""
    module, attribute = COMMANDS[name].place.split(":")
    found = getattr(importlib.import_module(f"microrun.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)
