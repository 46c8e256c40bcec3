"""What an alarm says: what changed, by how much, since when, and what is likely behind it."""

from __future__ import annotations

from microrun.runtime.latents.watched import LONGEST

SUBJECTS = {
    "saturated": "saturated pixels",
    "background": "correlation with the background",
    "mean": "brightness",
    "sharpness": "sharpness",
    "contrast": "contrast",
    "distance": "distance of the latents",
    "bands": "bands given back",
    "unknown": "patterns unlike what the model knows",
}
CAUSES = {  # of a fall, of a rise
    "saturated": ("less exposed?", "exposure or gain too high?"),
    "background": ("shadow, charging, or another background?", "another background?"),
    "mean": ("beam current, or a shadow?", "beam current, or exposure?"),
    "sharpness": ("defocus?", "focus changed?"),
    "contrast": ("contamination, charging, or a little defocus?", "contrast of the camera changed?"),
    "distance": ("another phase, or other patterns?", "another phase, or other patterns?"),
    "bands": ("another phase, noise, or a large defocus?", "other patterns?"),
    "unknown": ("", "another phase, camera or pattern centre?"),
}
ABSOLUTE = ("saturated", "background", "bands", "unknown")  # whose change is a difference, all others' a share


def describe(what: str, change: float, now: float, row: int) -> str:
    """One line for people.

    Parameters
    ----------
    what
        That changed.
    change, now
        As in `Alarm`; the value that it has.
    row
        Of the map, since which.
    """
    cause = CAUSES[what][change > 0]
    if what in ("saturated", "unknown"):
        size = f"{now:.1%}" if what == "saturated" else f"{now:.0%}"
        return f"{SUBJECTS[what]} {size.replace('%', ' %')} since row {row}: {cause}"[:LONGEST]
    size = f"{abs(change):.2f}" if what in ABSOLUTE else f"{100 * abs(change):.0f} %"
    return f"{SUBJECTS[what]} {'+' if change > 0 else '−'}{size} since row {row}: {cause}"[:LONGEST]
