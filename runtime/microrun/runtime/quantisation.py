"""What rounding to 8 bits did to a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantisation:
    """What rounding to 8 bits did to latents and maps, measured on patterns that calibration did not see.

    Parameters
    ----------
    calibrated_on, held_out
        Scans, for a reader.
    calibration_patterns, held_out_patterns
        How many of each.
    latent_error
        ‖int8 − float32‖ / ‖float32 − its mean‖ over the held-out latents: what is added to what they say.
    rank_correlation
        Spearman correlation of the features' ranking, by structure against noise, of the held-out map.
    top_kept
        How many of the five best features are still among the five best.
    """

    calibrated_on: str
    held_out: str
    calibration_patterns: int
    held_out_patterns: int
    latent_error: float
    rank_correlation: float
    top_kept: int
