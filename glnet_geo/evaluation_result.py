"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.class_table import MapClass
from glnet_geo.evaluation_pairs import Pair
from glnet_geo.metrics import ConfusionMatrix, Scores, mean_of
from glnet_geo.remote import without_secrets


@dataclass(frozen=True, slots=True)
class PairScores:
    """What a pair of files adds to an evaluation.

    Attributes:
        pair: The files.
        all_pixels: Pixels of the prediction's grid.
        pixels: Those of them that count.
        mean_iou: Of this pair alone; None where no pixel counts.
        accuracy: Likewise.
        is_aligned: Whether the reference was brought onto the prediction's grid.
    """

    pair: Pair
    all_pixels: int
    pixels: int
    mean_iou: float | None
    accuracy: float | None
    is_aligned: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "prediction": without_secrets(str(self.pair.prediction)),
            "reference": without_secrets(str(self.pair.reference)),
            "all_pixels": self.all_pixels,
            "pixels": self.pixels,
            "mean_iou": _rounded(self.mean_iou),
            "accuracy": _rounded(self.accuracy),
            "aligned": self.is_aligned,
        }


@dataclass(frozen=True, slots=True)
class BoundaryF1:
    """How well the borders of classes are met; see `boundary_scores`.

    Attributes:
        tolerance: The distance up to which a border is met, as it was given.
        f1: By class name; None where a class has no border in either.
    """

    tolerance: str
    f1: Mapping[str, float | None]

    @property
    def mean(self) -> float | None:
        """Over the classes that have one; None where none has."""
        return mean_of(self.f1.values())


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Predictions against references, all pairs together.

    Attributes:
        classes: The classes by id, K.
        matrix: Pixels by class of the reference (rows) and of the prediction, in this order.
        scores: What it says.
        boundary: Boundary F1.
        areas_ha: The matrix in hectares, K x (K + 1), the last column for what is predicted as no
            class; None where a raster has no place on the ground.
        area_rule: How areas were measured.
        pairs: The pairs.
        nodata_pixels: Pixels of the reference's classes where the prediction has no data.
        ignored: Pixels that a reference has of ignored values, by value.
        notes: What to know beside the figures.
        seconds: Time taken, reading included.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    classes: tuple[MapClass, ...]
    matrix: ConfusionMatrix
    scores: Scores
    boundary: BoundaryF1
    areas_ha: npt.NDArray[np.float64] | None
    area_rule: str
    pairs: tuple[PairScores, ...]
    nodata_pixels: int
    ignored: Mapping[str, int]
    notes: tuple[str, ...]
    seconds: float
    peak_bytes: int | None

    @property
    def table(self) -> npt.NDArray[np.int64]:
        """The matrix with a last column for what is predicted as no class, K x (K + 1)."""
        return np.column_stack([self.matrix.counts, self.matrix.missed])

    @property
    def all_pixels(self) -> int:
        """Pixels of all predictions' grids."""
        return sum(one.all_pixels for one in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; shares with six decimals, `null` where they are undefined."""
        scores, area = self.scores, self.areas_ha
        return {
            "pairs": [one.to_dict() for one in self.pairs],
            "all_pixels": self.all_pixels,
            "pixels": scores.pixels,
            "mean_iou": _rounded(scores.mean_iou),
            "scored_classes": scores.scored_classes,
            "mean_f1": _rounded(scores.mean_f1),
            "accuracy": _rounded(scores.accuracy),
            "kappa": _rounded(scores.kappa),
            "mean_boundary_f1": _rounded(self.boundary.mean),
            "boundary_tolerance": self.boundary.tolerance,
            "classes": [self._class_dict(one) for one in self.classes],
            "confusion": {
                "rows": "reference",
                "columns": [*(one.name for one in self.classes), None],
                "pixels": self.table.tolist(),
                "area_ha": None if area is None else np.round(area, 6).tolist(),
                "area_rule": self.area_rule,
            },
            "nodata_pixels": self.nodata_pixels,
            "ignored": dict(self.ignored),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "peak_bytes": self.peak_bytes,
        }

    def _class_dict(self, one: MapClass) -> dict[str, Any]:
        scores = self.scores
        return {
            "id": one.id,
            "name": one.name,
            "iou": _rounded(scores.iou[one.name]),
            "precision": _rounded(scores.precision[one.name]),
            "recall": _rounded(scores.recall[one.name]),
            "f1": _rounded(scores.f1[one.name]),
            "boundary_f1": _rounded(self.boundary.f1[one.name]),
            "support": scores.support[one.name],
        }


def share_text(part: float, whole: float) -> str:
    """A share in percent that is never rounded to all or nothing."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
