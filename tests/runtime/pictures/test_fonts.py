"""Letters that the usual font of pictures lacks."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.fonts import FontWarning, find_letters

RARE = "\U0001d4c1"  # a script l, which STIX has and DejaVu Sans does not
NOWHERE = "\U000100f5"  # of Linear B, in no font that matplotlib brings


def test_a_letter_is_taken_from_a_font_that_has_it(tmp_path: Path) -> None:
    figure = Figure()
    text = figure.text(0.1, 0.5, f"Gr\u00f6\u00dfe {RARE}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "rare.png")
    assert len(text.get_fontfamily()) == 2 and text.get_text().endswith(RARE)


def test_a_letter_that_no_font_has_is_a_question_mark_and_told_once(tmp_path: Path) -> None:
    figure = Figure()
    text, plain = figure.text(0.1, 0.5, f"scan {NOWHERE}"), figure.text(0.1, 0.2, "plain")
    with pytest.warns(FontWarning, match="no font that is installed has") as told:
        save_figure(figure, tmp_path / "lost.svg")
    assert [warning.category for warning in told] == [FontWarning]
    assert (text.get_text(), plain.get_text()) == ("scan ?", "plain")


def test_plain_letters_keep_their_font() -> None:
    figure = Figure()
    text = figure.text(0.1, 0.5, "\u00b5m \u00b7 \u221a2 \u00d7 100")
    before = text.get_fontfamily()
    find_letters(figure)
    assert text.get_fontfamily() == before
