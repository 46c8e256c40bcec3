"""All commands by name: what each does in a line, and where it is. None is imported before it is called."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from microrun.cli.everywhere import hide_types_of_flags, prepare


class Entry(NamedTuple):
    """Where a command is, as MODULE:NAME of a function or of a group, the first line of its help, and its group."""

    place: str
    line: str
    panel: str


SCANS, LATENTS, MODELS = "Scans", "Latents", "Models"
VOLUMES, SECTIONS, TOOLS = "Volumes of grains", "Sections of printed metal", "Tools"
COMMANDS = {
    "encode": Entry("encode:encode", "Encode a scan's patterns into latents.", SCANS),
    "physics": Entry(
        "physics:physics",
        "Draw conventional maps of a scan, to hold latent maps against (Fig. 5 of Calvat et al.).",
        SCANS,
    ),
    "serve": Entry("serve:serve", "Encode patterns that other programs push, whatever they are written in.", SCANS),
    "replay": Entry("replay:replay", "Play a scan back as if it were being acquired.", SCANS),
    "demo": Entry("demo:demo", "Simulate a scan, encode it and draw its latent maps.", SCANS),
    "maps": Entry("maps:maps", "Draw latent maps.", LATENTS),
    "view": Entry("view:view", "Show a latents file in the browser, live while it grows.", LATENTS),
    "analyse": Entry(
        "analyse:analyse",
        "Find what latents show: ranked features, spread between neighbours, segments, clusters.",
        LATENTS,
    ),
    "decode": Entry(
        "decode:decode", "Decode latents into patterns that can be indexed: a UP2 file on the same grid.", LATENTS
    ),
    "convert": Entry(
        "convert:convert",
        "Write latents, or a volume of grains, in the format of other programs; or measured maps as sections.",
        LATENTS,
    ),
    "models": Entry(
        "models:models",
        "List the built-in models: encoders, with what indexing says of their reconstructions, and denoisers.",
        MODELS,
    ),
    "train": Entry("train.vae:app", "Train models on scans, volumes or sections.", MODELS),
    "evaluate": Entry(
        "evaluate:evaluate",
        "Judge models by the bands that they reconstruct, and by indexing them: Table 1 of Calvat et al.",
        MODELS,
    ),
    "probe": Entry(
        "probe:probe", "Ask whether latent maps mean something: simulate samples with known truth, and probe.", MODELS
    ),
    "generate-patterns": Entry(
        "generate_patterns:generate",
        "Decode random latents, drawn from the prior that the model was trained towards.",
        MODELS,
    ),
    "export": Entry(
        "export:export",
        "Export a model to ONNX or to TensorRT plans, and compare every file with what it was made from.",
        MODELS,
    ),
    "generate": Entry(
        "generate.command:generate", "Grow a grain structure of any size, or in the shape of a part.", VOLUMES
    ),
    "voxelize": Entry(
        "voxelize:voxelize",
        "Turn the surface of a part into a mask of cubic voxels, to grow grains in its shape.",
        VOLUMES,
    ),
    "orient": Entry("orient:orient", "Give the grains of a volume crystal orientations of a texture.", VOLUMES),
    "segment": Entry(
        "segment:segment",
        "Segment a volume into grains: DBSCAN exactly as scikit-learn's, at the speed of the lattice.",
        VOLUMES,
    ),
    "grains": Entry("grains:grains", "Measure grains, and compare them with those of a reference.", VOLUMES),
    "render": Entry(
        "render:render",
        "Draw a volume: the cube with an octant cut out, or a part as it is, and the three middle slices.",
        VOLUMES,
    ),
    "sample": Entry("sample:sample", "Draw sections of printed metal for a laser power and speed.", SECTIONS),
    "sections": Entry(
        "sections:sections", "Measure the grains of sections, and compare them with those of a reference.", SECTIONS
    ),
    "inspect": Entry("inspect.command:inspect", "Say what a file holds.", TOOLS),
    "simulate": Entry("simulate.scan:app", "Make data with known truth.", TOOLS),
    "bench": Entry("bench.commands:app", "Measure speed against limits and peers, in one run.", TOOLS),
    "doctor": Entry(
        "doctor.command:doctor",
        "Say what is installed, which engines and plans run here and why others do not, and what clashes.",
        TOOLS,
    ),
}


class LazyGroup(TyperGroup):
    """The group of all commands: it lists them by their lines, and imports the one that is called."""

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {
            name: TyperCommand(name, help=entry.line, rich_help_panel=entry.panel) for name, entry in COMMANDS.items()
        }
        super().__init__(**settings)

    def get_params(self, ctx: Any) -> Any:
        """Options of the group itself."""
        return hide_types_of_flags(super().get_params(ctx))

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
        return prepare(group)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return prepare(typer.main.get_command(alone))
