"""What an encoding run does where the request leaves it open: as it began, where it is resumed, else what is usual."""

from __future__ import annotations

from dataclasses import replace

from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.errors import ScanError
from microrun.runtime.latents.origin import Background
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.background import BLOCK
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.open import ScanFile
from microrun.runtime.spec import Preprocessing

KEYWORDS: dict[str, Background] = {"running": "running", "none": "none"}


def make_preprocessor(request: EncodeRequest, source: ScanFile, preprocessing: Preprocessing) -> Preprocessor:
    """With the bad pixels that the scan shows; a resumed run has those that it began with."""
    sig_shape = source.scan.sig_shape
    preprocessing = replace(preprocessing, scale_background=_choose_scaling(request, preprocessing))
    if request.bad_pixels == "keep":
        return Preprocessor(preprocessing, sig_shape)
    if request.resume and request.out.exists():
        with open_latents(request.out) as old:
            same = old.origin.scan.sig_shape == sig_shape  # else the run is refused
            return Preprocessor(preprocessing, sig_shape, old.bad_pixels if same else None)
    if not isinstance(source, FollowingSource):
        return preprocessor_for(source, preprocessing)
    if choose_background(request) != "running":  # whoever gives a background wants latents from the first pattern on
        return Preprocessor(preprocessing, sig_shape)
    return preprocessor_for(source, preprocessing, among=source.await_patterns(BLOCK))


def choose_background(request: EncodeRequest) -> Background:
    """What the request's background means; with "auto", a resumed run keeps what it had."""
    if request.background != "auto":
        return KEYWORDS.get(request.background, "file")
    if request.resume and request.out.exists():
        with open_latents(request.out) as latents:
            return latents.origin.background
    return "running" if request.follow else "mean"


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
