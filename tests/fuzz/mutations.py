"""Ways in which files get damaged, or are made up: of bytes, of text, and of JSON."""

from __future__ import annotations

import copy
import json
import re
import struct
from random import Random
from typing import Any

NUMBERS = [0, 1, 2, 127, 128, 255, 4096, *(sign + (1 << bits) for bits in (15, 16, 31, 32, 40, 62) for sign in (-1, 0)),
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1]  # fmt: skip
FLOATS = [float("nan"), float("inf"), -float("inf"), -1.0, 1e30, -0.0, 1e-300, 1e308]
SPANS = (1, 2, 4, 8, 64, 512, 4096)
HEADS = (16, 48, 128, 512, 4096)
WORDS = ["nan", "inf", "-1", "0", "1e999", "9" * 5000, "99999999999", "", "#", "-0", "1,5", "\x00", "é", "\u2028",
         "GRID:", "HexGrid", "NCOLS_ODD:", "vertex", "facet", "endsolid", "solid", "0x10", '"', "'", "<", ">", "&",
         "[", "{", "=", ";", "true", "1e400"]  # fmt: skip
VALUES: list[Any] = [
    -1, 0, 1, 7, 1 << 31, 1 << 63, 1 << 64, 10**30, 10**400, 1e308, float("inf"), float("nan"), 1e-320, -0.5, 0.5, None,
    True, False, "", "x", "\ud800", "../../../etc/passwd", "a" * 5000, "1\n2", "[red]", [], {}, [[]], [None],
    [1] * 1000,
    {"a": 1}, "nan", [1 << 40] * 3, [-1, -1, -1], [0.5, 0.5], [[1, 2], [3]],
]  # fmt: skip


def damage_bytes(data: bytes, random: Random) -> bytes:
    """One to eight changes, in half of the cases near the head, where most formats keep their sizes."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        if not changed:
            break
        end = len(changed) if random.random() < 0.5 else min(len(changed), random.choice(HEADS))
        _change(changed, random.randrange(end), random)
    return bytes(changed)


def _change(data: bytearray, place: int, random: Random) -> None:
    kind, span = random.random(), random.choice(SPANS)
    if kind < 0.35:
        data[place] ^= 1 << random.randrange(8)
    elif kind < 0.5:
        data[place] = random.choice([0, 255, 127, 128, random.randrange(256)])
    elif kind < 0.7:
        _put_number(data, place, random)
    elif kind < 0.76:
        del data[place:]
    elif kind < 0.82:
        del data[place : place + span]
    elif kind < 0.88:
        data[place:place] = random.randbytes(span)
    elif kind < 0.94:
        start = random.randrange(len(data))
        data[place : place + span] = data[start : start + span]
    else:
        data[place : place + span] = bytes(span)


def _put_number(data: bytearray, place: int, random: Random) -> None:
    if random.random() < 0.2:
        packed = struct.pack(random.choice("<>") + "d", random.choice(FLOATS))
    else:
        size = random.choice([1, 2, 4, 8])
        number = random.choice([*NUMBERS, random.getrandbits(64)]) & ((1 << 8 * size) - 1)
        packed = number.to_bytes(size, random.choice(["little", "little", "big"]))
        place -= place % size if random.random() < 0.7 else 0
    data[place : place + len(packed)] = packed


def damage_text(data: bytes, random: Random) -> bytes:
    """Words are replaced by others, lines are lost or doubled, and in some cases bytes are changed."""
    words = re.split(r"([\s,;\t<>=\"]+)", data.decode("latin-1"))
    for _ in range(random.choice([1, 1, 2, 4])):
        words[random.randrange(len(words))] = random.choice([*WORDS, random.choice(words)])
    lines = "".join(words).split("\n")
    if random.random() < 0.15:
        del lines[random.randrange(len(lines))]
    if random.random() < 0.1:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    text = "\n".join(lines)
    changed = text.encode("utf-8") if random.random() < 0.1 else text.encode("latin-1", "replace")
    return damage_bytes(changed, random) if random.random() < 0.3 else changed


def damage_json(text: str, random: Random) -> str:
    """Values of other types, missing, unknown and double keys, deep nesting, and text that is cut."""
    whole = random.random()
    if whole < 0.02:
        return random.choice(["[", '{"a":']) * 100_000
    if whole < 0.03:
        return json.dumps(random.choice(VALUES[:30]))
    value = json.loads(text)
    for _ in range(random.choice([1, 1, 2, 3])):
        _change_value(value, random)
    made = _dump(value)
    if whole < 0.05:
        made = re.sub(r"\d+", "1" * 5000, made, count=1)
    elif whole < 0.07:
        made = "\ufeff" + made
    elif whole < 0.09:
        made = made[: random.randrange(len(made))]
    elif whole < 0.11:
        made = re.sub(r"(\"\w+\": [^,{\[]+)", r"\1, \1", made, count=1)
    elif whole < 0.12:
        made = made.replace(":", ': {"b":' + "[" * 100_000, 1)
    return made


def _dump(value: Any) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # an integer of more digits than Python writes
        return json.dumps(value, default=str, skipkeys=True)


def _change_value(value: Any, random: Random) -> None:
    places = list(_places(value))
    if not places:
        return
    holder, key = random.choice(places)
    kind = random.random()
    if kind < 0.15:
        del holder[key]
    elif kind < 0.25 and isinstance(holder, dict):
        holder[random.choice(["zzz", "kind", "name", "scan", "spec", "__class__"])] = copy.deepcopy(
            random.choice(VALUES)
        )
    else:
        holder[key] = copy.deepcopy(random.choice(VALUES))


def _places(value: Any) -> Any:
    """All pairs of a holder and a key in it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
