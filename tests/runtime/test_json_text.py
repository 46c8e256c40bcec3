"""JSON of damaged files: nested too deep, of other types, with numbers that nothing holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from microrun.runtime.json_text import check_fields, parse_object


@dataclass(frozen=True)
class Inner:
    number: float = 1.0


@dataclass(frozen=True)
class Outer:
    count: int = 1
    kind: Literal["one", "two"] = "one"
    sides: tuple[int, int] = (1, 2)
    names: tuple[str, ...] = ()
    share: float | None = None
    inner: Inner = Inner()
    metrics: Mapping[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[]", "1", '{"a": "\\ud800"}', "{", '{"a": 1' + "1" * 5000]
)
def test_json_that_no_file_of_ours_holds_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_object(text)


@pytest.mark.parametrize("text", [None, 1, []])
def test_what_is_no_text_is_a_type_error(text: Any) -> None:
    with pytest.raises(TypeError):
        parse_object(text)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"share": 1}, {"share": 0.5, "names": ("a", "b")}, {"metrics": {"loss": float("nan")}},
        {"count": (1 << 64) - 1},
    ],
)  # fmt: skip
def test_what_we_write_is_taken(changes: dict[str, Any]) -> None:
    check_fields(Outer(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 1.0}, {"count": True}, {"count": 1 << 64}, {"kind": "three"}, {"kind": 1}, {"sides": (1, 2, 3)},
        {"sides": [1, 2]}, {"names": ("a", 1)}, {"share": "much"}, {"share": 10**400}, {"inner": {}},
        {"inner": Inner("x")}, {"metrics": {"loss": None}}, {"metrics": []}, {"count": None},
    ],
)  # fmt: skip
def test_values_of_other_types_are_refused_by_the_name_of_their_field(changes: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="number" if changes.get("inner") else next(iter(changes))):
        check_fields(Outer(**changes))
