from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from microrun.kernels.masking import circular_keep
from microrun.training.loop.curves import VAE_PANELS, draw_loss
from microrun.training.vae.pictures import draw_reconstructions, pattern_r2

KEEP = circular_keep((120, 120), 0)
PNG = b"\x89PNG"


def test_r2_of_each_pattern_is_about_its_own_mean() -> None:
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 1, (6, 120, 120)).astype(np.float32)
    patterns += np.arange(6, dtype=np.float32)[:, None, None]
    reconstructed = np.broadcast_to(patterns[:, KEEP].mean(axis=1)[:, None, None], patterns.shape).copy()
    reconstructed[2] = patterns[2]
    reconstructed[:, ~KEEP] = 9  # what is outside the mask does not count
    expected = [0, 0, 1, 0, 0, 0]
    assert pattern_r2(patterns, reconstructed, KEEP) == pytest.approx(expected, abs=1e-5)


def test_the_best_the_median_and_the_worst_are_drawn(tmp_path: Path) -> None:
    from matplotlib import axes

    rng = np.random.default_rng(0)
    patterns = rng.uniform(-1, 1, (5, 120, 120)).astype(np.float32)
    noise = np.array([0.1, 0.5, 0.0, 0.3, 0.2], np.float32)[:, None, None]
    shown: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    with pytest.MonkeyPatch.context() as patch:
        plain = axes.Axes.imshow
        patch.setattr(
            axes.Axes, "imshow", lambda self, image, **how: (shown.append(image), plain(self, image, **how))[1]
        )
        draw_reconstructions(patterns, patterns + noise, KEEP, tmp_path / "out.png")
    for row, number in enumerate((2, 4, 1)):
        original, _, difference = (image[KEEP] for image in shown[3 * row : 3 * row + 3])
        assert (original == patterns[number][KEEP]).all()
        assert difference == pytest.approx(noise[number, 0, 0], abs=1e-6)
    assert all(np.isnan(image[~KEEP]).all() for image in shown)
    assert (tmp_path / "out.png").read_bytes().startswith(PNG)


def test_curves_of_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for contrastive in ("0", "2.5"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ("step", *VAE_PANELS))
            writer.writeheader()
            for step, r2 in ((1, "-3"), (2, "0.5")):
                row = dict.fromkeys(VAE_PANELS, "1")
                writer.writerow(row | {"step": step, "held_out_r2": r2, "contrastive": contrastive})
        draw_loss(path, tmp_path / f"{contrastive}.png")
    plain, wide = ((tmp_path / f"{name}.png").read_bytes() for name in ("0", "2.5"))
    assert plain.startswith(PNG) and int.from_bytes(wide[16:20]) > int.from_bytes(plain[16:20])  # one panel more


def test_a_single_report_is_a_point_and_not_a_blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    points: list[str] = []
    plot = Axes.plot

    def note(axis: Axes, *given: object, marker: str, **style: object) -> object:
        points.append(marker)
        return plot(axis, *given, marker=marker, **style)

    monkeypatch.setattr(Axes, "plot", note)
    path = tmp_path / "metrics.csv"
    path.write_text(",".join(("step", *VAE_PANELS)) + "\n" + ",".join(["1"] * 5) + "\n")
    draw_loss(path, tmp_path / "loss.png")
    assert points == ["o"] * 4
