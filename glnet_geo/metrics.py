"""The only definition of IoU and its relatives in the project."""

from __future__ import annotations

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
    """

    legend: Legend
    iou: dict[str, float | None]
    mean_iou: float | None
    accuracy: float | None
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, four decimals."""
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
    """

    def __init__(self, legend: Legend) -> None:
        self.legend = legend
        self.counts: npt.NDArray[np.int64] = np.zeros((len(legend), len(legend)), np.int64)
        self._missed: npt.NDArray[np.int64] = np.zeros(len(legend), np.int64)
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
        self._missed += table[:, -1]
        return self

    def scores(self) -> Scores:
        """Scores over the counted classes."""
        hits = self.counts.diagonal()
        support = self.counts.sum(axis=1) + self._missed
        union = support + self.counts.sum(axis=0) - hits
        iou = {
            self.legend.classes[k].name: float(hits[k] / union[k]) if union[k] else None
            for k in self.legend.counted
        }
        present = [value for value in iou.values() if value is not None]
        pixels = int(support.sum())
        return Scores(
            self.legend,
            iou,
            float(np.mean(present)) if present else None,
            float(hits.sum() / pixels) if pixels else None,
            pixels,
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
