"""What an encoding run does where the request leaves it open: as it began, where it is resumed, else what is usual."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import replace

from microrun.runtime.domain import Domain
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.latents.origin import Background
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import Replace
from microrun.runtime.patterns.background import BLOCK
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.pattern_centre import crop_centre
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.open import ScanFile, open_scan, state_geometry, take_part
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.spec import Preprocessing

KEYWORDS: dict[str, Background] = {"running": "running", "none": "none"}


def open_source(request: EncodeRequest) -> ScanFile:
    """The scan, or the part of it that is asked for; unasked, a resumed run takes the part that it began with.

    Parameters
    ----------
    request
        What to encode.

    Raises
    ------
    ScanError
        If the scan cannot be opened or followed, or the part lies beside it.
    """
    if request.follow:
        if request.region or request.every:
            raise ScanError("--region and --every take a part of a finished scan: leave out --follow")
        if request.scan.is_dir():
            raise ScanError(f"{request.scan}: is a folder; only .up1 and .up2 files are followed: leave out --follow")
        return FollowingSource(request.scan, request.grid, request.step_um, idle_timeout_s=request.idle_timeout_s)
    whole = open_scan(request.scan, request.grid, request.step_um, request.scan_name)
    if request.region is None and request.every is None and request.resume and request.out.exists():
        with open_latents(request.out) as latents:
            part = latents.origin.part
        return whole if part is None else PartSource(whole, part)
    return take_part(whole, request.region, request.every)


def make_preprocessor(request: EncodeRequest, source: ScanFile, engine: Engine) -> Preprocessor:
    """With the bad pixels that the scan shows; a resumed run has those that it began with."""
    sig_shape, preprocessing = source.scan.sig_shape, engine.spec.preprocessing
    scaled, inverted = _choose_scaling(request, preprocessing), _choose_polarity(request, preprocessing)
    preprocessing = replace(preprocessing, scale_background=scaled, inverted=inverted)
    warp = _choose_warp(request, source, engine)
    if request.bad_pixels == "keep":
        return Preprocessor(preprocessing, sig_shape, warp=warp)
    if request.resume and request.out.exists():
        with open_latents(request.out) as old:
            same = old.origin.scan.sig_shape == sig_shape  # else the run is refused
            return Preprocessor(preprocessing, sig_shape, old.bad_pixels if same else None, warp)
    if not isinstance(source, FollowingSource):
        return preprocessor_for(source, preprocessing, warp=warp)
    if choose_background(request) != "running":  # whoever gives a background wants latents from the first pattern on
        return Preprocessor(preprocessing, sig_shape, warp=warp)
    return preprocessor_for(source, preprocessing, source.await_patterns(BLOCK), warp)


def choose_background(request: EncodeRequest) -> Background:
    """What the request's background means; with "auto", a resumed run keeps what it had."""
    if request.background != "auto":
        return KEYWORDS.get(request.background, "file")
    if request.resume and request.out.exists():
        with open_latents(request.out) as latents:
            return latents.origin.background
    return "running" if request.follow else "mean"


def choose_replacing(request: EncodeRequest) -> Replace:
    """What becomes of a latents file that is there."""
    if not request.overwrite:
        return "never"
    return "now" if request.follow else "whole"


def _choose_scaling(request: EncodeRequest, preprocessing: Preprocessing) -> bool:
    """Whether the background is scaled; unasked, a resumed run goes on as it began."""
    if request.scale_background and request.background == "none":
        raise ScanError("there is no background to scale: leave out --scale-background, or --background none")
    if request.scale_background is not None:
        return request.scale_background
    if request.resume and request.out.exists():
        with open_latents(request.out) as latents:
            return latents.origin.scale_background
    return preprocessing.scale_background


def _choose_polarity(request: EncodeRequest, preprocessing: Preprocessing) -> bool:
    """Whether patterns are turned about; unasked, a resumed run goes on as it began."""
    if request.invert is not None:
        return request.invert
    if request.resume and request.out.exists():
        with open_latents(request.out) as latents:
            return latents.origin.inverted
    return preprocessing.inverted


def _choose_warp(request: EncodeRequest, source: ScanFile, engine: Engine) -> Warp | None:
    """From the pattern centre that is asked for to that which the model knows; unasked, a resumed run as it began."""
    domain = engine.spec.domain
    if request.pattern_centre is not None:
        return warp_from(request.pattern_centre, engine)
    if request.resume and request.out.exists():
        with open_latents(request.out) as latents:
            return latents.origin.warp
    if domain is not None:
        _warn_if_unknown(source, domain, engine.spec.name)
    return None


def warp_from(pattern_centre: tuple[float, float, float], engine: Engine, option: str = "--pc") -> Warp:
    """From a pattern centre, in EDAX's convention, to that which a model knows; SpecError if it states none.

    Parameters
    ----------
    pattern_centre
        (x*, y*, z*) of the scan.
    engine
        An open encoder.
    option
        By which a user asked for it.
    """
    domain = engine.spec.domain
    if domain is None:
        raise SpecError(
            f"{engine.info.path.name}: does not state which pattern centres it knows, so nothing can be warped to "
            f"them; leave out {option}"
        )
    return Warp(pattern_centre, domain.centre)


def _warn_if_unknown(source: ScanFile, domain: Domain, model: str) -> None:
    """Warn where a file states another pattern centre than a model knows."""
    with contextlib.suppress(ScanError):  # what cannot be read states nothing
        stated = next((one for one in state_geometry(source) if one.pattern_centre), None)
        if stated is None or stated.pattern_centre is None:
            return
        x, y, z = crop_centre(stated.pattern_centre, source.scan.sig_shape)
        if domain.knows_centre((x, 1 - y, z)):
            return
        known = ", ".join(f"{low:g} to {high:g}" for low, high in domain.pattern_centre)
        centre = ",".join(f"{value:.4g}" for value in stated.pattern_centre)
        text = f"{source.path}: has its pattern centre at {centre} ({stated.source}), {model} knows {known}"
        warnings.warn(f"{text}; --pc {centre} warps to that", ScanWarning, stacklevel=5)
