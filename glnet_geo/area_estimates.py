"""Error-adjusted areas and accuracies from a labelled stratified random sample.

The estimators are those of Stehman 2014, "Estimating area and map accuracy for stratified random
sampling when the strata are different from the map classes" (doi 10.1080/01431161.2014.930207),
eqs. 2, 25 and 28. Where the strata are the map's classes they are those of Olofsson, Foody, Herold,
Stehman, Woodcock and Wulder 2014, "Good practices for estimating area and assessing accuracy of
land change" (doi 10.1016/j.rse.2014.02.015), eqs. 4-11.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.sample_design import SampleDesign, Unit
from glnet_geo.sample_size import LEAST

_Z = 1.96  # of a 95 % confidence interval, as the paper rounds it
_Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure that is known from a sample.

    Attributes:
        value: The estimate.
        standard_error: Its standard error.
    """

    value: float
    standard_error: float

    @property
    def margin(self) -> float:
        """Half of the 95 % confidence interval."""
        return _Z * self.standard_error

    def scaled(self, factor: float) -> Estimate:
        """The figure times a number that is known."""
        return Estimate(factor * self.value, factor * self.standard_error)

    def to_dict(self) -> dict[str, float]:
        """The JSON form."""
        return {
            "value": self.value,
            "standard_error": self.standard_error,
            "margin_95": self.margin,
        }


@dataclass(frozen=True, slots=True)
class ClassEstimate:
    """What the sample says of one class.

    Attributes:
        name: The class.
        mapped_area: What the map says, in the unit of the estimates.
        area: What there is.
        users_accuracy: Share of what is mapped as the class that is of the class; None where no
            point is mapped as it.
        producers_accuracy: Share of what is of the class that is mapped as it; None where no point
            is of it.
    """

    name: str
    mapped_area: float
    area: Estimate
    users_accuracy: Estimate | None
    producers_accuracy: Estimate | None


@dataclass(frozen=True, slots=True)
class AreaEstimates:
    """What a labelled sample says of a map.

    Attributes:
        classes: Those that are mapped or found at any point.
        overall_accuracy: Share of the area whose class is right.
        matrix: K x K, share of the area that is mapped as the class of a row and is of the class of
            a column.
        design: The sample's.
        labelled: Labelled points by id of their stratum.
        is_mapped_area_known: Whether mapped areas are those of the map, because the sample's
            strata are its classes, or were estimated from the points as well.
    """

    classes: tuple[ClassEstimate, ...]
    overall_accuracy: Estimate
    matrix: tuple[tuple[float, ...], ...]
    design: SampleDesign
    labelled: Mapping[int, int]
    is_mapped_area_known: bool

    @property
    def unit(self) -> Unit:
        """Of areas: "m" where they are in square metres, "px" where they are in pixels."""
        return self.design.unit

    @property
    def points(self) -> int:
        """Labelled points."""
        return sum(self.labelled.values())

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; areas in square metres or pixels, accuracies as shares, 0-1."""
        suffix = "px" if self.unit == "px" else "m2"
        return {
            "points": self.points,
            "area_rule": self.design.area_rule,
            f"area_{suffix}": self.design.area,
            "overall_accuracy": self.overall_accuracy.to_dict(),
            "classes": [
                {
                    "name": one.name,
                    f"mapped_area_{suffix}": one.mapped_area,
                    f"adjusted_area_{suffix}": one.area.to_dict(),
                    "users_accuracy": _optional(one.users_accuracy),
                    "producers_accuracy": _optional(one.producers_accuracy),
                }
                for one in self.classes
            ],
            "is_mapped_area_known": self.is_mapped_area_known,
            "matrix": [list(row) for row in self.matrix],
            "strata": [
                {**self.design.to_dict(one), "labelled": self.labelled[one.id]}
                for one in self.design.strata
            ],
        }


def _optional(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else estimate.to_dict()


def estimate_areas(
    design: SampleDesign,
    strata: Sequence[int],
    mapped: Sequence[str],
    reference: Sequence[str],
    mapped_areas: Mapping[str, float] | None = None,
) -> AreaEstimates:
    """Estimates areas and accuracies.

    The finite population correction is left out, as in the paper, but for strata all of whose
    pixels are labelled: they add nothing to a variance.

    Args:
        design: How the sample was drawn.
        strata: Id of the stratum of each labelled point, N.
        mapped: Class of each in the map, N.
        reference: What each is, N.
        mapped_areas: Areas of the map's classes where they are known, by name.

    Raises:
        ValueError: A point is of no stratum, or a stratum has too few points.
    """
    points = _Points.of(design, strata)
    found = {*mapped, *reference}
    # In the order of the legend, then whatever else there is.
    names = [name for name in design.legend.values() if name in found]
    names += sorted(found.difference(names))
    places = {name: place for place, name in enumerate(names)}
    map_class = np.array([places[name] for name in mapped], np.intp)
    true_class = np.array([places[name] for name in reference], np.intp)
    is_right = (map_class == true_class).astype(np.float64)
    whole = np.ones(len(strata))
    matrix = np.zeros((len(names), len(names)))
    np.add.at(matrix, (map_class, true_class), points.shares)
    classes = []
    for place, name in enumerate(names):
        is_mapped = (map_class == place).astype(np.float64)
        is_true = (true_class == place).astype(np.float64)
        if mapped_areas is None:
            mapped_area = points.mean(is_mapped) * design.area
        else:
            mapped_area = mapped_areas.get(name, 0.0)
        classes.append(
            ClassEstimate(
                name,
                mapped_area,
                points.ratio(is_true, whole).scaled(design.area),
                points.ratio(is_right * is_mapped, is_mapped) if is_mapped.any() else None,
                points.ratio(is_right * is_true, is_true) if is_true.any() else None,
            )
        )
    return AreaEstimates(
        tuple(classes),
        points.ratio(is_right, whole),
        tuple(tuple(row) for row in matrix.tolist()),
        design,
        {one.id: int(n) for one, n in zip(design.strata, points.counts, strict=True)},
        mapped_areas is not None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """Labelled points by stratum.

    Attributes:
        index: Stratum of each point, N, as an index of the following.
        weights: Share of each stratum in the area, H.
        counts: Points of each, H.
        is_census: Whether they are all its pixels, H.
    """

    index: npt.NDArray[np.intp]
    weights: _Values
    counts: npt.NDArray[np.intp]
    is_census: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, design: SampleDesign, strata: Sequence[int]) -> _Points:
        places = {one.id: place for place, one in enumerate(design.strata)}
        if unknown := {*strata}.difference(places):
            raise ValueError(f"no strata of the design: {sorted(unknown)}")
        index = np.array([places[one] for one in strata], np.intp)
        counts = np.bincount(index, minlength=len(places))
        is_census = counts == [one.pixels for one in design.strata]
        if np.any((counts < LEAST) & ~is_census):
            raise ValueError(f"a stratum has fewer than {LEAST} points: {counts}")
        weights = np.array([one.area / design.area for one in design.strata])
        return cls(index, weights, counts, is_census)

    @property
    def shares(self) -> _Values:
        """Share of the area that each point stands for, N."""
        shares: _Values = (self.weights / self.counts)[self.index]
        return shares

    def mean(self, values: _Values) -> float:
        """The mean over the area of what has a value at each point."""
        return float(self.weights @ self._means(values))

    def ratio(self, values: _Values, sizes: _Values) -> Estimate:
        """The ratio of two such means, of which the second one is not 0.

        The variance of y / x is that of the residuals y - R x over the squared mean of x: their
        variance in a stratum is what eq. 28 has of Stehman 2014, s_y^2 + R^2 s_x^2 - 2 R s_xy.
        """
        size = self.mean(sizes)
        ratio = self.mean(values) / size
        residuals = values - ratio * sizes
        residuals -= self._means(residuals)[self.index]
        squares = np.bincount(self.index, residuals**2, len(self.counts))
        spread = squares / np.maximum(self.counts - 1, 1) / self.counts
        variance = (self.weights**2 * np.where(self.is_census, 0, spread)).sum()
        return Estimate(ratio, math.sqrt(variance) / size)

    def _means(self, values: _Values) -> _Values:
        means: _Values = np.bincount(self.index, values, len(self.counts)) / self.counts
        return means
