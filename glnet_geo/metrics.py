"""The only definition of IoU and its relatives in the project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glnet_geo.legend import Legend


@dataclass(frozen=True, slots=True)
class Scores:
    """What a confusion matrix says.

    Attributes:
        legend: The classes.
        iou: Intersection over union by class name; None where a class is neither in the
            reference nor predicted.
        mean_iou: Mean over the classes that have one; None where none has.
        accuracy: Share of pixels that agree, 0-1; None where no pixel counts.
        pixels: Pixels that count.
        precision: User's accuracy by class name: the share of the pixels predicted as the class
            that are it; None where none is predicted.
        recall: Producer's accuracy by class name: the share of the class's pixels that are
            predicted as it; None where the reference has none.
        f1: Harmonic mean of the two by class name; None where `iou` is.
        mean_f1: Mean over the classes that have one; None where none has.
        support: Pixels of the reference by class name.
        kappa: Agreement beyond that by chance, at most 1 (J. Cohen, Educational and Psychological
            Measurement 20, 1960); None where chance alone would agree everywhere.
    """

    legend: Legend
    iou: dict[str, float | None]
    mean_iou: float | None
    accuracy: float | None
    pixels: int
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    f1: dict[str, float | None]
    mean_f1: float | None
    support: dict[str, int]
    kappa: float | None

    @property
    def scored_classes(self) -> int:
        """How many classes the means are taken over."""
        return sum(value is not None for value in self.iou.values())

    def to_dict(self) -> dict[str, Any]:
        """The short JSON form of model cards, four decimals."""
        return {
            "mean_iou": _rounded(self.mean_iou),
            "accuracy": _rounded(self.accuracy),
            "iou": {name: _rounded(value) for name, value in self.iou.items()},
            "pixels": self.pixels,
        }


class ConfusionMatrix:
    """Counts of (reference, predicted) pairs, added up over any number of arrays.

    Args:
        legend: The classes; pixels whose reference is none of the counted classes are left out.

    Attributes:
        counts: K x K, rows: reference, columns: prediction, in the legend's order.
        missed: K, pixels of the reference that are predicted as no class.
    """

    def __init__(self, legend: Legend) -> None:
        self.legend = legend
        self.counts: npt.NDArray[np.int64] = np.zeros((len(legend), len(legend)), np.int64)
        self.missed: npt.NDArray[np.int64] = np.zeros(len(legend), np.int64)
        unknown = len(legend)
        self._position = np.full(256, unknown, np.int64)
        self._position[legend.ids] = np.arange(len(legend))
        self._counted = np.zeros(unknown + 1, bool)
        self._counted[list(legend.counted)] = True

    def add(self, reference: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]) -> Self:
        """Adds two class rasters of one shape, both of the legend's ids.

        Predicted pixels that are no class (nodata) count as errors of the reference class.
        """
        if reference.shape != predicted.shape:
            raise ValueError(f"reference {reference.shape} and predicted {predicted.shape} differ")
        rows = self._position[reference.ravel()]
        columns = self._position[predicted.ravel()]
        keep = self._counted[rows]
        size = len(self.legend) + 1
        pairs = np.bincount(rows[keep] * size + columns[keep], minlength=size * size)
        table = pairs.reshape(size, size)[:-1]
        self.counts += table[:, :-1]
        self.missed += table[:, -1]
        return self

    @classmethod
    def of_counts(
        cls, legend: Legend, counts: npt.NDArray[np.int64], missed: npt.NDArray[np.int64]
    ) -> Self:
        """A matrix that was counted elsewhere, of counted classes only; see the attributes."""
        matrix = cls(legend)
        matrix.counts += counts
        matrix.missed += missed
        return matrix

    def scores(self) -> Scores:
        """Scores over the counted classes."""
        hits = self.counts.diagonal()
        support = self.counts.sum(axis=1) + self.missed
        predicted = self.counts.sum(axis=0)
        pixels = int(support.sum())
        iou = self._ratios(hits, support + predicted - hits)
        f1 = self._ratios(2 * hits, support + predicted)
        return Scores(
            self.legend,
            iou,
            mean_of(iou.values()),
            float(hits.sum() / pixels) if pixels else None,
            pixels,
            self._ratios(hits, predicted),
            self._ratios(hits, support),
            f1,
            mean_of(f1.values()),
            {self.legend.classes[k].name: int(support[k]) for k in self.legend.counted},
            _kappa(int(hits.sum()), support, predicted),
        )

    def _ratios(
        self, parts: npt.NDArray[np.int64], wholes: npt.NDArray[np.int64]
    ) -> dict[str, float | None]:
        """Shares by the names of the counted classes; None where the whole is nothing."""
        return {
            self.legend.classes[k].name: float(parts[k] / wholes[k]) if wholes[k] else None
            for k in self.legend.counted
        }


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of those that there are; None without any."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _kappa(
    hits: int, support: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]
) -> float | None:
    # Products of the pixels of large scenes exceed 64 bits.
    pixels = int(support.sum())
    pairs = zip(support.tolist(), predicted.tolist(), strict=True)
    chance = sum(here * there for here, there in pairs)
    if chance == pixels**2:
        return None
    kappa: float = (hits * pixels - chance) / (pixels**2 - chance)
    return kappa


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
