"""Latents files written out to where users work: HyperSpy, MTEX, DREAM3D-NX, ParaView, Fiji, xarray."""

from microrun.runtime.convert.convert import Format, convert_latents

__all__ = ["Format", "convert_latents"]
