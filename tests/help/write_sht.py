"""EMsoft's files of spherical harmonics written byte by byte, and such functions summed by SciPy."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import sph_harm_y

INVERSION, EQUATOR, MIRROR_Y, MIRROR_BETWEEN = 1, 2, 4, 8


def padded(text: str) -> bytes:
    data = text.encode()
    return data + b"\0" * (-len(data) % 8)


def is_left(m: int, degree: int, symmetries: int) -> bool:
    """Whether inversion and the mirror at the equator leave this harmonic."""
    return not (symmetries & INVERSION and degree % 2) and not (symmetries & EQUATOR and (degree + m) % 2)


def make_coefficients(degrees: int, fold: int, symmetries: int, seed: int = 0) -> NDArray[np.complex128]:
    """Random ones of a real function with these symmetries, at [m, l]."""
    rng = np.random.default_rng(seed)
    made = np.zeros((degrees, degrees), complex)
    for m in range(0, degrees, fold):
        for degree in range(m, degrees):
            if is_left(m, degree, symmetries):
                made[m, degree] = rng.normal() + 1j * rng.normal() * (m > 0)
        if symmetries & MIRROR_Y:
            made[m] = made[m].real
        elif symmetries & MIRROR_BETWEEN:
            made[m] = made[m].real if m % (2 * fold) == 0 else 1j * made[m].imag
    return made


def pack(coefficients: NDArray[np.complex128], fold: int, symmetries: int) -> list[float]:
    """The numbers of a file: only those that the symmetries leave."""
    numbers: list[float] = []
    for m in range(0, len(coefficients), fold):
        for degree in filter(lambda l: is_left(m, l, symmetries), range(m, len(coefficients))):  # noqa: E741
            value = coefficients[m, degree]
            if symmetries & MIRROR_Y or (symmetries & MIRROR_BETWEEN and m % (2 * fold) == 0):
                numbers.append(value.real)
            elif symmetries & MIRROR_BETWEEN:
                numbers.append(value.imag)
            else:
                numbers += [value.real, value.imag]
    return numbers


def write_sht(
    path: Path, coefficients: NDArray[np.complex128], fold: int = 4, symmetries: int = 7, *, name: str = "nickel",
    formula: str = "Ni", structure: str = "A1", group: int = 225, kev: float = 20.0, version: int = 1,
    crystals: int = 1, modality: int = 1,
) -> Path:  # fmt: skip
    """Write a file of one crystal."""
    texts = [padded(text) for text in (formula, name, structure, "a reference", "a note")]
    numbers = pack(coefficients, fold, symmetries)
    parts = [
        b"*sht" + struct.pack("<bb2s8s4s", version, 1, b"", b"software", b"\1"),
        struct.pack("<4f2h", kev, 70, 0, 0, 3, 0) + padded("doi"),
        struct.pack("<bBbbbbh", crystals, group, 1, 112, modality, 1, 88),
        struct.pack("<B3b3f6f5f", group, 1, 1, 1, 0, 0, 0, 0.3524, 0.3524, 0.3524, 90, 90, 90, 1, 0, 0, 0, 1),
        struct.pack("<6h", 1, len(formula), len(name), len(structure), 11, 6) + bytes(32) + b"".join(texts),
        bytes(88),
        struct.pack("<hbbi", len(coefficients), fold, symmetries, len(numbers)),
        struct.pack(f"<{len(numbers)}d", *numbers) + bytes(4),
    ]
    path.write_bytes(b"".join(parts))
    return path


def sum_harmonics(
    coefficients: NDArray[np.complex128], theta: NDArray[np.float64], phi: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Real function by SciPy, one harmonic after the other."""
    total = np.zeros(np.broadcast(theta, phi).shape)
    for m, degree in zip(*np.nonzero(coefficients), strict=True):
        term = (coefficients[m, degree] * sph_harm_y(degree, m, theta, phi)).real
        total += term if m == 0 else 2 * term
    return total
