"""Every error that microrun raises on purpose.

    MicrorunError
    ├── ScanError       a pattern file, its header, its grid, or patterns that do not fit
    ├── EngineError     an engine that cannot be opened or run
    │   └── SpecError   a model without a spec, or whose spec does not fit
    ├── LatentsError    a latents file that cannot be used
    ├── SectionsError   sections, maps to cut them from, or their labels, that cannot be used
    ├── VolumeError     a volume of voxels, a part or a mask that cannot be used
    ├── TextureError    a texture that cannot be used: a map, a table of densities, or a formula
    └── OutputError     a file that could not be written; exit code 1
        └── RefusedOutputError   one that is not written where it is asked for, such as over another; exit code 2

The message says what was expected, what came, in which file, and what to do.
"""

from __future__ import annotations


class MicrorunError(Exception):
    """Base of all errors; its message is one line for the user.

    Examples
    --------
    >>> from microrun.runtime import MicrorunError, open_scan
    >>> try:
    ...     open_scan("missing.up2")
    ... except MicrorunError as error:
    ...     print(error)
    missing.up2: cannot be read (No such file or directory)
    """

    exit_code = 2


class ScanError(MicrorunError):
    """A pattern file, its header or its grid cannot be used."""


class EngineError(MicrorunError):
    """An engine cannot be opened or run."""


class SpecError(EngineError):
    """A model carries no spec, or one that does not fit."""


class LatentsError(MicrorunError):
    """A latents file cannot be used."""


class VolumeError(MicrorunError):
    """A volume of voxels, a part or a mask cannot be used."""


class SectionsError(MicrorunError):
    """Sections, maps that they are cut from, or their labels cannot be used."""


class TextureError(MicrorunError):
    """A texture, or what it is taken from, cannot be used."""


class OutputError(MicrorunError):
    """A file could not be written; what is on disk stays valid."""

    exit_code = 1


class RefusedOutputError(OutputError):
    """A file is not written where it is asked for; nothing was touched."""

    exit_code = 2


def first_line(error: object) -> str:
    """What an error, or a library's complaint, says first."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
