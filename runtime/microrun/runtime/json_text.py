"""JSON from files that may be damaged: the one door for all of it, in files of its own or within others."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

# What values of other kinds raise, wherever they are first used.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
LEAST, MOST = -(1 << 63), (1 << 64) - 1  # of whole numbers, which arrays and seeds can hold
SHOWN = 60  # characters of a value that is refused


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    text
        All of it; bytes are UTF-8.

    Returns
    -------
    dict of str to object
        Values by name.

    Raises
    ------
    ValueError
        If it is no JSON, no object, nested too deep, or holds halves of characters.
    TypeError
        If it is no text at all.
    """
    try:
        values: Any = json.loads(text)
        json.dumps(values, ensure_ascii=False).encode()  # half a character can be neither printed nor written
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    return values


def check_fields(made: object) -> None:
    """Hold the values of a dataclass that was made from JSON against the types of its fields.

    Parameters
    ----------
    made
        A dataclass; those that it holds are looked into, too.

    Raises
    ------
    TypeError
        If a value is of another type, or a whole number has more than 64 bits.
    """
    made_of: Any = type(made)
    for name, kind in _kinds(made_of).items():
        value = getattr(made, name)
        if not _fits(value, kind):
            raise TypeError(f"{name} cannot be {repr(value)[:SHOWN]}")


@cache
def _kinds(made: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(made)
    return {field.name: hints[field.name] for field in dataclasses.fields(made)}


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is int:
        return type(value) is int and LEAST <= value <= MOST
    if kind is float:
        return isinstance(value, float) or _fits(value, int)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return type(value) in map(type, inner) and value in inner
    if origin is tuple:
        return _fits_tuple(value, inner)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if dataclasses.is_dataclass(kind) and isinstance(value, kind):  # type: ignore[arg-type]
        check_fields(value)
    return kind is Any or isinstance(value, origin or kind)


def _fits_tuple(value: Any, kinds: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    wanted = kinds[:1] * len(value) if kinds[-1] is ... else kinds
    return len(value) == len(wanted) and all(map(_fits, value, wanted))
