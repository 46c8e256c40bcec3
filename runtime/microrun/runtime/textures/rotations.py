"""Rotations as unit quaternions, scalar first, that turn the sample's axes into the crystal's; Bunge angles of them."""

from __future__ import annotations

import numpy as np

from microrun.runtime.array_types import Float64


def multiply(one: Float64, other: Float64) -> Float64:
    """Turn by the other rotation, then by the one.

    Parameters
    ----------
    one, other
        (…, 4) unit quaternions.

    Returns
    -------
    (…, 4) float64
    """
    a, b, c, d = np.moveaxis(one, -1, 0)
    e, f, g, h = np.moveaxis(other, -1, 0)
    return np.stack(
        [a * e - b * f - c * g - d * h, a * f + b * e + c * h - d * g,
         a * g - b * h + c * e + d * f, a * h + b * g - c * f + d * e],
        axis=-1,
    )  # fmt: skip


def turn_about(axes: Float64, angles: Float64) -> Float64:
    """Rotations about axes.

    Parameters
    ----------
    axes
        (…, 3) unit vectors.
    angles
        (…) in radians.

    Returns
    -------
    (…, 4) float64
    """
    return np.concatenate([np.cos(angles / 2)[..., None], axes * np.sin(angles / 2)[..., None]], axis=-1)


def turn_onto(start: Float64, ends: Float64) -> Float64:
    """Shortest rotations of a vector onto others.

    Parameters
    ----------
    start
        (3,) unit vector.
    ends
        (n, 3) unit vectors.

    Returns
    -------
    (n, 4) float64
    """
    cosine = ends @ start
    turned = np.concatenate([1 + cosine[:, None], np.cross(start, ends)], axis=1)
    opposite = cosine < -1 + 1e-12  # half a turn about any axis across
    across = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
    turned[opposite] = [0, *across]
    unit: Float64 = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    return unit


def to_euler(rotations: Float64) -> Float64:
    """Bunge angles of rotations.

    Parameters
    ----------
    rotations
        (…, 4) unit quaternions.

    Returns
    -------
    (…, 3) float64
        phi1, Phi, phi2 in radians, in [0, 2π), [0, π], [0, 2π).
    """
    a, b, c, d = np.moveaxis(rotations, -1, 0)
    total, difference = np.arctan2(d, a), np.arctan2(c, b)
    middle = 2 * np.arctan2(np.hypot(b, c), np.hypot(a, d))
    return np.stack([(total + difference) % (2 * np.pi), middle, (total - difference) % (2 * np.pi)], axis=-1)


def crystal_axes(rotations: Float64) -> Float64:
    """Axes of crystals in the sample's coordinates.

    Parameters
    ----------
    rotations
        (…, 4) unit quaternions.

    Returns
    -------
    (…, 3, 3) float64
        Row n is the crystal's axis n as x, y, z of the sample: Bunge's matrix g.
    """
    a, b, c, d = np.moveaxis(rotations, -1, 0)
    rows = [
        [a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)],
        [2 * (b * c - a * d), a * a - b * b + c * c - d * d, 2 * (c * d + a * b)],
        [2 * (b * d + a * c), 2 * (c * d - a * b), a * a - b * b - c * c + d * d],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
