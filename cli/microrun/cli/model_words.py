"""What a model's numbers are called in the words of those who use it."""

from __future__ import annotations

from collections.abc import Mapping

from microrun.cli.told import Told

METRICS = {  # by the name in the spec: title, and how it is written
    "bands": ("bands", "{:.2f}"),
    "right": ("right", "{:.1%}"),
    "indexed": ("indexed", "{:.1%}"),
    "misorientation_deg": ("misorientation", "{:.2f}°"),
    "truth_deg": ("from truth", "{:.2f}°"),
    "correlation": ("correlation", "{:.2f}"),
    "held_out_r2": ("variance given back", "{:.1%}"),
    "held_out_loss": ("loss on unseen data", "{:.4g}"),
    "known_bands": ("bands, known patterns", "{:.2f}"),
    "nickel_bands": ("bands, nickel", "{:.2f}"),
    "diamond_bands": ("bands, silicon and alike", "{:.2f}"),
    "latent_error": ("off its teacher's latents", "{:.2f}"),
    "latent_error_before": ("the same, before training", "{:.2f}"),
}


GRAINS = {"volume": "grain volumes", "nearest": "distances of grains", "aspect_ratio": "aspect ratios"}


def describe_metrics(metrics: Mapping[str, float]) -> dict[str, Told]:
    """Write what was measured of a model when it was trained.

    Parameters
    ----------
    metrics
        As its spec has them.

    Returns
    -------
    dict of str to Told
        Values by their titles; of a name that is not known the name itself, with spaces.
    """
    ordered = sorted(metrics, key=lambda name: list(METRICS).index(name) if name in METRICS else len(METRICS))
    forms = {name: METRICS.get(name, (_describe_other(name), "{:g}")) for name in ordered}
    return {forms[name][0]: Told(forms[name][1].format(metrics[name]), metrics[name]) for name in ordered}


def _describe_other(name: str) -> str:
    """Of distances between distributions what is compared, and which preset made it; of others the name."""
    preset, kl, measure = name.rpartition("kl_")
    if not kl or measure not in GRAINS:
        return name.replace("_", " ")
    made = f" ({preset.strip('_')})" if preset else ""
    return f"error of {GRAINS[measure]}{made}"


def describe_deviation(error: float | None, source: str = "the model that it was made from") -> str:
    """Say how much the results of a file differ from those of what it was made from.

    Parameters
    ----------
    error
        Relative difference (L2); None if it was not measured.
    source
        What it is compared with.
    """
    if error is None:
        return f"not compared with {source}"
    return f"its results differ by {100 * error:.2g} % from those of {source}"
