"""Where an encoder's latents lie of patterns that it knows: what a scan is compared with, and what colours it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.errors import SpecError

SHARES = (0.5, 0.9, 0.99, 0.999)  # of the patterns, within each of the `quantiles`
RIDGE = 1e-3  # of the mean variance, added to each: no direction is without any
COLOURS, COLOUR_LIMIT = 3, 2.05  # standard deviations that 2 and 98 of 100 normal values lie within
LEAST_PER_FEATURE = 8  # patterns that a covariance is made of, at least


@dataclass(frozen=True)
class KnownLatents:
    """Mean, covariance and distances of latents of patterns that an encoder knows.

    Parameters
    ----------
    mean
        (D,) little-endian float32 in base64.
    factor
        Lower triangle, row by row, of the Cholesky factor of the covariance: D·(D + 1)/2 float16 in base64. So
        rounding leaves every covariance positive.
    quantiles
        Squared Mahalanobis distances that `SHARES` of the patterns lie within, ascending.
    patterns
        How many there were.

    Raises
    ------
    SpecError
        If these are no such numbers.
    """

    mean: str
    factor: str
    quantiles: tuple[float, ...]
    patterns: int

    def __post_init__(self) -> None:
        quantiles = np.array(self.quantiles, np.float64)
        if quantiles.shape != (len(SHARES),) or not (np.isfinite(quantiles).all() and quantiles[0] > 0):
            raise SpecError(f"quantiles of known latents must be {len(SHARES)} positive numbers; got {self.quantiles}")
        if (np.diff(quantiles) < 0).any() or self.patterns < 1:
            raise SpecError("quantiles of known latents must ascend, and be of one pattern or more")
        size = self.size
        mean, triangle = _decode(self.mean, "<f4"), _decode(self.factor, "<f2")
        if len(triangle) != size * (size + 1) // 2:
            raise SpecError(f"known latents have a mean of {size} numbers, and a factor of {len(triangle)}")
        diagonal = triangle[np.cumsum(np.arange(1, size + 1)) - 1]
        if not (np.isfinite(mean).all() and np.isfinite(triangle).all() and (diagonal > 0).all()):
            raise SpecError("known latents must be finite, with positive variances")

    @property
    def size(self) -> int:
        """D."""
        return len(_decode(self.mean, "<f4"))

    @cached_property
    def centre(self) -> Float32:
        """(D,) float32: the mean latent."""
        return _decode(self.mean, "<f4").astype(np.float32)

    @cached_property
    def covariance(self) -> Float64:
        """(D, D) float64."""
        covariance: Float64 = self._lower @ self._lower.T
        return covariance

    @cached_property
    def _lower(self) -> Float64:
        lower = np.zeros((self.size, self.size))
        lower[np.tril_indices(self.size)] = _decode(self.factor, "<f2")
        return lower

    @cached_property
    def _whitening(self) -> Float32:
        return np.linalg.inv(self._lower).T.astype(np.float32)

    def distances(self, latents: NDArray[np.floating[Any]]) -> Float32:
        """Squared Mahalanobis distances of (n, D) latents from the mean, (n,) float32."""
        white = (latents.astype(np.float32, copy=False) - self.centre) @ self._whitening
        squared: Float32 = np.einsum("ij,ij->i", white, white)
        return squared

    def colour_axes(self) -> tuple[Float32, Float32]:
        """Axes of the colours of all scans, and what they end at, so that these can be compared.

        Returns
        -------
        axes : (D, 3) float32
            Of the largest variances, descending; each of length 1, its largest weight positive. With fewer features
            than three the last are 0.
        limits : (3, 2) float32
            Of (latent − mean) @ axes: where 2 and 98 of 100 patterns would lie, were they normal.
        """
        variances, found = np.linalg.eigh(self.covariance)
        shown = min(COLOURS, self.size)
        axes, limits = np.zeros((self.size, COLOURS), np.float32), np.ones((COLOURS, 2), np.float32)
        leading = found[:, ::-1][:, :shown]
        axes[:, :shown] = leading * np.sign(leading[np.abs(leading).argmax(axis=0), range(shown)])
        limits[:shown, 1] = COLOUR_LIMIT * np.sqrt(variances[::-1][:shown])
        limits[:, 0] = -limits[:, 1]
        return axes, limits

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> KnownLatents:
        """Read what `dataclasses.asdict` made; SpecError, TypeError, KeyError or ValueError if it is something else."""
        return cls(**{**values, "quantiles": tuple(values["quantiles"])})

    @classmethod
    def of(cls, latents: NDArray[np.floating[Any]]) -> KnownLatents | None:
        """Learn from (n, D) latents of patterns that a model knows.

        None of fewer than eight for each feature, and of a model that went astray, whose latents float16 cannot hold.
        """
        count, size = latents.shape
        if count < LEAST_PER_FEATURE * size or not np.isfinite(latents).all():
            return None
        values = latents.astype(np.float64)
        covariance = np.atleast_2d(np.cov(values.T))
        ridge = RIDGE * np.trace(covariance) / size
        if not ridge > 0:
            return None
        lower = np.linalg.cholesky(covariance + ridge * np.eye(size))
        with np.errstate(over="ignore"):
            stored = lower.astype("<f2")
        if not (np.isfinite(stored).all() and (np.diag(stored) > 0).all()):
            return None
        triangle = stored[np.tril_indices(size)]
        made = cls(_encode(values.mean(axis=0).astype("<f4")), _encode(triangle), (1.0,) * len(SHARES), count)
        found = np.quantile(made.distances(latents), SHARES)
        return cls(made.mean, made.factor, tuple(round(float(value), 3) for value in found), count)


def _encode(numbers: NDArray[Any]) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def _decode(text: str, dtype: str) -> NDArray[Any]:
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype)
    except (binascii.Error, ValueError, TypeError) as error:
        raise SpecError(f"known latents are damaged ({error})") from None
