"""What an evaluation adds up over pairs, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from glnet_geo.boundary_scores import BoundaryCounts
from glnet_geo.class_matching import NO_CLASS, NO_DATA, ClassList, Ignored
from glnet_geo.class_table import MapClass
from glnet_geo.errors import GlnetGeoError
from glnet_geo.evaluation_result import BoundaryF1, Evaluation, PairScores, share_text
from glnet_geo.legend import LandCover, Legend
from glnet_geo.map_summary import peak_bytes
from glnet_geo.metrics import ConfusionMatrix
from glnet_geo.units import Length


@dataclass(slots=True)
class Tally:
    """What is added up over the pairs; tables have 256 rows and columns, positions of classes.

    Attributes:
        ignored: Values that count nowhere.
        counts: Pixels by position in the reference (rows) and in the prediction.
        areas: The same in square metres; pixels of rasters without a place have none.
        boundary: Boundary pixels.
        rules: How areas were measured.
        has_areas: Whether all rasters have a place.
        pairs: The pairs that are done.
        ignored_pixels: By value.
        notes: What to know.
    """

    ignored: Ignored
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    areas: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((256, 256)))
    boundary: BoundaryCounts = field(default_factory=BoundaryCounts)
    rules: list[str] = field(default_factory=list)
    has_areas: bool = True
    pairs: list[PairScores] = field(default_factory=list)
    ignored_pixels: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def result(self, classes: ClassList, tolerance: Length, seconds: float) -> Evaluation:
        """What it all comes to, the classes by id."""
        order = sorted(range(len(classes.classes)), key=lambda k: classes.classes[k].id)
        found = tuple(classes.classes[k] for k in order)
        if not self.counts.any():
            raise GlnetGeoError(
                "There is nothing to compare: no pixel of the reference has a class. Check its "
                "nodata value, --ignore and that the files belong together."
            )
        matrix = matrix_of(found, order, self.counts)
        f1 = {classes.classes[k].name: self.boundary.f1(k) for k in order}
        areas = np.column_stack(
            [self.areas[np.ix_(order, order)], self.areas[order][:, NO_CLASS:].sum(axis=1)]
        )
        nodata = int(self.counts[:, NO_DATA].sum())
        notes = list(self.notes)
        if nodata:
            share = share_text(nodata, int(self.counts.sum()))
            notes.append(f"The prediction has no data in {share} of the pixels: errors")
        return Evaluation(
            found,
            matrix,
            matrix.scores(),
            BoundaryF1(str(tolerance), f1),
            areas / 1e4 if self.has_areas else None,
            "; ".join(dict.fromkeys(self.rules)),
            tuple(self.pairs),
            nodata,
            dict(sorted(self.ignored_pixels.items())),
            tuple(dict.fromkeys(notes)),
            seconds,
            peak_bytes(),
        )


def matrix_of(
    classes: Sequence[MapClass], order: Sequence[int], counts: npt.NDArray[np.int64]
) -> ConfusionMatrix:
    """A confusion matrix out of a table of positions.

    Args:
        classes: The classes in the order of the matrix, K, at least 1.
        order: Their positions.
        counts: 256 x 256, see `Tally`.
    """
    # Ids of legends end at 254, those of other people's rasters do not.
    numbered = (LandCover(k, one.name, one.rgb) for k, one in enumerate(classes))
    missed = counts[order][:, NO_CLASS:].sum(axis=1)
    legend = Legend("evaluation", tuple(numbered))
    return ConfusionMatrix.of_counts(legend, counts[np.ix_(order, order)], missed)
