"""Cases of a campaign: pairs of power and speed, spread evenly or from a table."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from microrun.runtime.errors import MicrorunError

POWER_W, SPEED_M_S = (100.0, 200.0), (0.5, 1.0)  # the window of Xie et al. (2026)
COLUMNS = ("power_w", "speed_m_s")
MOST = 1 << 20


@dataclass(frozen=True)
class Case:
    """What one simulation is made with.

    Parameters
    ----------
    number
        From 0; the seed follows from it.
    power_w, speed_m_s
        Of the laser.

    Raises
    ------
    MicrorunError
        If one is not above 0.
    """

    number: int
    power_w: float
    speed_m_s: float

    def __post_init__(self) -> None:
        for name, value in (("power", self.power_w), ("speed", self.speed_m_s)):
            if not (math.isfinite(value) and value > 0):
                raise MicrorunError(f"case {self.number}: {name} must be above 0; got {value:g}")

    @property
    def name(self) -> str:
        """For files and people."""
        return f"case_{self.number:04}"


def spread_cases(count: int, seed: int = 0) -> list[Case]:
    """Spread cases evenly over 100–200 W and 0.5–1.0 m/s by a scrambled Sobol sequence.

    Parameters
    ----------
    count
        How many; more only add to fewer.
    seed
        Of the scrambling.

    Raises
    ------
    MicrorunError
        If they are none, or more than a million.
    """
    from scipy.stats import qmc

    if not 1 <= count <= MOST:
        raise MicrorunError(f"a campaign has 1 to {MOST:,} cases; got {count}")
    sequence = qmc.Sobol(2, rng=seed).random_base2(math.ceil(math.log2(count)))[:count]
    powers, speeds = (
        low + (high - low) * share for (low, high), share in zip((POWER_W, SPEED_M_S), sequence.T, strict=True)
    )
    return [
        Case(number, round(float(power), 3), round(float(speed), 5))
        for number, (power, speed) in enumerate(zip(powers, speeds, strict=True))
    ]


def read_cases(path: Path) -> list[Case]:
    """Read a table of cases.

    Parameters
    ----------
    path
        A CSV file, with commas between and decimal points, that has the columns power_w and speed_m_s, in W and m/s;
        others are not looked at.

    Raises
    ------
    MicrorunError
        If a column is missing or stands twice, a line has too few or too many values, a value is no number above 0,
        or there is no case.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            titles, rows = list(reader.fieldnames or []), [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MicrorunError(f"{path}: cannot be read as a table ({error})") from None
    if titles and any(titles.count(column) != 1 for column in COLUMNS):
        raise MicrorunError(
            f"{path}: its first line names each of the columns {','.join(COLUMNS)} once, with commas between; "
            f"got {', '.join(titles)}"
        )
    if not rows:
        raise MicrorunError(f"{path}: contains no case; expected lines below the titles {','.join(COLUMNS)}")
    for line, row in rows:
        if None in row or None in row.values():  # the keys and values of what is too much, and of what is missing
            raise MicrorunError(
                f"{path}, line {line}: has not {len(titles)} values, one a column; commas stand between values, "
                "decimals take a point"
            )
    try:
        return [Case(number, *(float(row[column]) for column in COLUMNS)) for number, (_, row) in enumerate(rows)]
    except ValueError as error:
        raise MicrorunError(f"{path}: a power or a speed is not a number ({error})") from None
    except MicrorunError as error:
        raise MicrorunError(f"{path}: {error}") from None
