"""Columns of text for many lines at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microrun.runtime.convert.text_columns import join_columns, set_column, set_numbers


@given(st.lists(st.integers(1, 999_999_999), min_size=1))
def test_numbers_have_blanks_before_them(numbers: list[int]) -> None:
    text = set_numbers(np.array(numbers, np.int64))
    assert [row.tobytes().decode() for row in text] == [f"{number:9d}" for number in numbers]


def test_lines_are_joined_from_columns() -> None:
    lines = join_columns(set_column(["1", "22"]), ", ", set_column(["a", "b"]), "\n")
    assert lines.tobytes() == b" 1, a\n22, b\n"
