"""How many points a stratified sample needs, and how many of them each class gets."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.errors import GlnetGeoError

LEAST = 2
"""Points of a stratum without which its variance is not known."""

_HALVINGS = 200  # of an interval, until nothing of it is left

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SampleSize:
    """What decides about the number of points.

    Without a total it is that of Olofsson et al. 2014 (doi 10.1016/j.rse.2014.02.015), eq. 13, for
    a standard error of the overall accuracy, with one conjecture for the accuracy of all classes.
    Points go to the classes by area, but rare ones get more than that, as section 5.1.2 advises.

    Attributes:
        total: Points in all; None for as many as the standard error needs.
        min_per_class: Points that each class gets at least, or all its pixels.
        expected_accuracy: Conjecture for the accuracy of the classes, above 0 and below 1.
        standard_error: That of the overall accuracy, above 0 and below 1.

    Raises:
        GlnetGeoError: A number is out of its range.
    """

    total: int | None = None
    min_per_class: int = 50
    expected_accuracy: float = 0.8
    standard_error: float = 0.02

    def __post_init__(self) -> None:
        if self.total is not None and self.total < LEAST:
            raise GlnetGeoError(f"{self.total} points are no sample. Give at least {LEAST}.")
        if self.min_per_class < LEAST:
            raise GlnetGeoError(
                f"{self.min_per_class} points a class are too few. Give at least {LEAST}."
            )
        for what in ("expected_accuracy", "standard_error"):
            if not 0 < (value := getattr(self, what)) < 1:
                name = what.replace("_", " ")
                raise GlnetGeoError(f"The {name} is {value}. Give a number between 0 and 1.")

    def required(self, pixels: int) -> int:
        """Points that the standard error needs.

        Args:
            pixels: Pixels of all classes.
        """
        variance = self.expected_accuracy * (1 - self.expected_accuracy)
        # A hair less, so that 1600.0000000000002 does not become 1601.
        return math.ceil(variance / (self.standard_error**2 + variance / pixels) - 1e-6)

    def allocate(self, areas: Sequence[float], pixels: Sequence[int]) -> list[int]:
        """Points of each class.

        Args:
            areas: Of the classes, above 0.
            pixels: Of the classes, which are the most points that they can have.

        Returns:
            Points, at least 2 or all pixels a class.

        Raises:
            GlnetGeoError: The total is too small for so many classes.
        """
        most = np.array(pixels, np.int64)
        least = np.minimum(most, self.min_per_class)
        if self.total is None:
            points = max(self.required(int(most.sum())), int(least.sum()))
        else:
            points = self.total
            least = np.minimum(least, self._share(points, most))
        if points > most.sum():
            _log.warning("There are only %d pixels, all of which are in the sample.", most.sum())
            return [*pixels]
        return _rounded(_proportional(points, np.array(areas), least, most), points, most)

    def _share(self, points: int, most: npt.NDArray[np.int64]) -> int:
        """What each class gets at least where there are too few points for what it should get."""
        needed = int(np.minimum(most, LEAST).sum())
        if points < needed:
            raise GlnetGeoError(
                f"{points} points are too few for {len(most)} classes, which need {LEAST} each. "
                f"Give a --size of at least {needed}, or fewer classes with --classes"
            )
        if np.minimum(most, self.min_per_class).sum() > points:
            _log.warning(
                "%d points are too few for %d of each of the %d classes; each gets about as many.",
                points,
                self.min_per_class,
                len(most),
            )
        return max(points // len(most), LEAST)


def _proportional(
    points: int,
    areas: npt.NDArray[np.float64],
    least: npt.NDArray[np.int64],
    most: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Fractions of points by area, none below or above what it may be, that sum up to `points`."""
    low, high = 0.0, float((most / areas).max())
    for _ in range(_HALVINGS):
        density = (low + high) / 2
        if np.clip(density * areas, least, most).sum() < points:
            low = density
        else:
            high = density
    return np.asarray(np.clip(high * areas, least, most), np.float64)


def _rounded(
    fractions: npt.NDArray[np.float64], points: int, most: npt.NDArray[np.int64]
) -> list[int]:
    """Whole points, those that are left over for the largest remainders."""
    whole = np.floor(fractions + 1e-9).astype(np.int64)
    order = np.argsort(whole - fractions, kind="stable")
    order = order[whole[order] < most[order]]
    whole[order[: points - int(whole.sum())]] += 1
    counts: list[int] = whole.tolist()
    return counts
